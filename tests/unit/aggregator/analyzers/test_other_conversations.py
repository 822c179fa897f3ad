"""Conversations of APIs that keep the history, or have no ids, or no conversation at all."""

from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import (
    AGENT_PID,
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
    wall_ns,
)

TURN = "invoke_agent demo-agent"


def responses(log: AgentLog, start: float, body: dict, answer_id: str, output: list) -> None:
    answer = {
        "id": answer_id,
        "object": "response",
        "status": "completed",
        "model": "gpt-5",
        "output": output,
        "usage": {"input_tokens": 5, "output_tokens": 5},
    }
    request = {"model": "gpt-5", **body}
    log.exchange(
        start,
        start + 1,
        request,
        (200, answer),
        target="/v1/responses",
        authority="api.openai.com",
    )


def said(words: str) -> dict:
    content = [{"type": "output_text", "text": words, "annotations": []}]
    return {"type": "message", "role": "assistant", "content": content, "status": "completed"}


def test_responses_that_refer_to_the_previous_one_are_one_thread(run):
    log = AgentLog()
    log.start(0)
    call = {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"}
    responses(log, 1, {"input": "List it"}, "resp_1", [call])
    responses(log, 2.5, {"input": "Something else"}, "resp_x", [said("no")])
    result = {"type": "function_call_output", "call_id": "c1", "output": "a.py"}
    body = {"input": [result], "previous_response_id": "resp_1"}
    responses(log, 4, body, "resp_2", [said("a.py")])
    body = {"input": "And now?", "previous_response_id": "resp_2"}
    responses(log, 6, body, "resp_3", [said("nothing")])
    log.end(9)
    found = run(log)
    turns = found.named(TURN)
    assert [turn.attributes["agentsight.thread"] for turn in turns] == ["main", "side", "main"]
    assert [turn.attributes["agentsight.turn.llm_calls"] for turn in turns] == [2, 1, 1]
    (tool,) = found.named("execute_tool shell")
    assert (tool.raw.start_ns, tool.raw.end_ns) == (wall_ns(2), wall_ns(4))
    assert tool.attributes["gen_ai.tool.call.result"] == "a.py"


def test_results_without_ids_are_matched_by_name_and_order(run):
    log = AgentLog()
    log.start(0)

    def ask(start: float, contents: list, parts: list) -> None:
        answer = {
            "candidates": [
                {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
            ],
            "modelVersion": "gemini-3",
        }
        log.exchange(
            start,
            start + 1,
            {"contents": contents},
            (200, answer),
            target="/v1beta/models/gemini-3:generateContent",
            authority="generativelanguage.googleapis.com",
        )

    prompt = {"role": "user", "parts": [{"text": "weather?"}]}
    calls = [
        {"functionCall": {"name": "weather", "args": {"city": city}}} for city in ("Oslo", "Rome")
    ] + [{"functionCall": {"name": "time", "args": {}}}]
    ask(1, [prompt], calls)
    outs = [
        {"functionResponse": {"name": name, "response": {"out": out}}}
        for name, out in (("time", "noon"), ("weather", "snow"), ("weather", "sun"))
    ]
    history = [prompt, {"role": "model", "parts": calls}, {"role": "user", "parts": outs}]
    ask(3, history, [{"text": "fine"}])
    log.end(6)
    found = run(log)
    got = [
        (tool.attributes["gen_ai.tool.call.arguments"], tool.attributes["gen_ai.tool.call.result"])
        for tool in found.spans
        if tool.name.startswith("execute_tool")
    ]
    assert [("Oslo" in arguments, "snow" in result) for arguments, result in got].count(
        (True, True)
    ) == 1
    assert [("Rome" in arguments, "sun" in result) for arguments, result in got].count(
        (True, True)
    ) == 1
    assert len(found.named(TURN)) == 1


def test_an_embedding_is_in_the_turn_of_its_process_or_alone(run):
    log = AgentLog()
    log.start(0)

    def embed(start: float, pid: int = AGENT_PID) -> None:
        answer = {"object": "list", "data": [], "model": "e-3", "usage": {"prompt_tokens": 3}}
        log.exchange(
            start,
            start + 0.1,
            {"model": "e-3", "input": f"text {start}"},
            (200, answer),
            target="/v1/embeddings",
            authority="api.openai.com",
            pid=pid,
        )

    embed(0.5)
    asked = [tool_use("t1", "search", query="x")]
    log.call(1, 2, [user("find x")], asked)
    embed(2.5)
    log.call(
        4, 5, [user("find x"), assistant(*asked), results(tool_result("t1", "x"))], [text("x")]
    )
    log.end(9)
    paths = run(log).paths()
    assert [path for path in paths if "embeddings" in path] == [
        "embeddings e-3",
        f"{TURN} > embeddings e-3",
    ]


def test_subagents_at_the_same_time_keep_their_processes(run):
    log = AgentLog()
    log.start(0)
    prompts = ["Look into the parser code", "Look into the printer code"]
    tasks = [tool_use(f"t{index}", "Task", prompt=prompt) for index, prompt in enumerate(prompts)]
    log.call(1, 2, [user("Look")], tasks)
    for index, prompt in enumerate(prompts):
        inner = [tool_use(f"i{index}", "probe", level=f"depth{index}")]
        log.call(3 + index, 4 + index, [user(prompt)], inner, system="You look.")
        log.run(5.5, 5.8, 300 + index, ["probing", f"--level=depth{index}"])
        done = [user(prompt), assistant(*inner), results(tool_result(f"i{index}", "x"))]
        log.call(6 + 5 * index, 7 + 5 * index, done, [text("seen")], system="You look.")
    log.run(5.5, 5.6, 310, ["unrelated"])
    back = results(*(tool_result(f"t{index}", "seen") for index in range(2)))
    log.call(20, 21, [user("Look"), assistant(*tasks), back], [text("ok")])
    log.end(30)
    found = run(log)
    for index in range(2):
        (process,) = [
            span for span in found.named("probing") if span.attributes["process.pid"] == 300 + index
        ]
        assert process.parent.attributes["gen_ai.tool.call.id"] == f"i{index}"
    (unclear,) = found.named("unrelated")
    assert unclear.path() == f"{TURN} > execute_tool Task > {TURN} > execute_tool probe > unrelated"
    assert unclear.attributes["agentsight.cause.confidence"] == 0.4


def test_a_streamed_answer_has_its_time_to_the_first_chunk(run):
    log = AgentLog()
    log.start(0)
    head = pb.HttpRequestStarted(
        connection=7, method="POST", target="/v1/chat/completions", authority="api.openai.com"
    )
    body = b'{"model":"gpt-5","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    sse = [pb.Header(name="content-type", value="text/event-stream")]
    log.add(1, AGENT_PID, http_request_started=head)
    log.add(
        1,
        AGENT_PID,
        http_body=pb.HttpBody(connection=7, direction=pb.DIRECTION_REQUEST, data=body),
    )
    reply = pb.HttpResponseStarted(connection=7, status=200, headers=sse)
    log.add(1.5, AGENT_PID, http_response_started=reply)
    for at, word in ((2.0, "one"), (2.5, "two"), (3.0, "three")):
        data = (
            b'data: {"id":"c","object":"chat.completion.chunk","model":"gpt-5","choices":'
            b'[{"index":0,"delta":{"content":"' + word.encode() + b'"}}]}\n\n'
        )
        chunk = pb.HttpBody(connection=7, direction=pb.DIRECTION_RESPONSE, data=data)
        log.add(at, AGENT_PID, http_body=chunk)
    done = pb.HttpBody(connection=7, direction=pb.DIRECTION_RESPONSE, data=b"data: [DONE]\n\n")
    log.add(3.0, AGENT_PID, http_body=done)
    end = pb.HttpFinished(connection=7, outcome=pb.HTTP_OUTCOME_COMPLETE)
    log.add(3.0, AGENT_PID, http_finished=end)
    log.end(5)
    found = run(log)
    (call,) = found.named("chat gpt-5")
    assert call.attributes["gen_ai.request.stream"] is True
    assert call.attributes["gen_ai.response.time_to_first_chunk"] == 1.0
    sums = {item.name: item.sum for item in found.samples if hasattr(item, "sum")}
    assert sums["gen_ai.client.inference.time_to_first_chunk"] == 1.0
    assert sums["gen_ai.client.inference.time_per_output_chunk"] == 0.5
