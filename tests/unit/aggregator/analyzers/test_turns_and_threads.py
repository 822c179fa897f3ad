import json

from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_core.pb import events_pb2, findings_pb2
from agentsight_core.testing.agent_log import (
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
    wall_ns,
)

CHAT = "chat claude-opus-4-1"
TURN = "invoke_agent demo-agent"


def two_step_log() -> AgentLog:
    """One turn: the model asks for a tool, gets its result, and answers."""
    log = AgentLog()
    log.start(0)
    asked = [text("I look."), tool_use("t1", "bash", command="ls -la")]
    log.call(1, 2, [user("What is here?")], asked)
    log.call(
        4,
        5,
        [user("What is here?"), assistant(*asked), results(tool_result("t1", "a.py"))],
        [text("a.py")],
    )
    log.end(6)
    return log


def test_a_turn_is_one_trace_of_calls_and_tools(run):
    found = run(two_step_log())
    assert found.paths() == [
        TURN,
        f"{TURN} > {CHAT}",
        f"{TURN} > {CHAT}",
        f"{TURN} > execute_tool bash",
        "session demo-agent",
        "session demo-agent > python3",
    ]
    (turn,) = found.named(TURN)
    assert (turn.raw.start_ns, turn.raw.end_ns) == (wall_ns(1), wall_ns(5))
    assert turn.attributes["agentsight.turn.llm_calls"] == 2
    assert turn.attributes["gen_ai.usage.input_tokens"] == 200
    assert turn.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert "gen_ai.conversation.id" not in turn.attributes
    (tool,) = found.named("execute_tool bash")
    assert (tool.raw.start_ns, tool.raw.end_ns) == (wall_ns(2), wall_ns(4))
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"command": "ls -la"}
    assert tool.attributes["gen_ai.tool.call.result"] == "a.py"
    assert tool.attributes["gen_ai.tool.call.id"] == "t1"


def test_edges_lead_from_answer_to_tool_to_next_call(run):
    found = run(two_step_log())
    assert found.edges == [
        (CHAT, "execute_tool bash", "requested", 1.0),
        ("execute_tool bash", CHAT, "tool_result", 1.0),
    ]


def test_call_spans_carry_the_names_of_the_conventions(run):
    first, second = run(two_step_log()).named(CHAT)
    assert first.attributes["agentsight.response.tool_names"] == ["bash"]
    assert second.attributes["agentsight.response.tool_names"] == []
    assert first.raw.kind == findings_pb2.SPAN_KIND_CLIENT
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-4-1",
        "gen_ai.response.model": "claude-opus-4-1",
        "gen_ai.response.finish_reasons": ["tool_use"],
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.request.stream": False,
        "server.address": "api.anthropic.com",
        "server.port": 443,
        "session.id": "00000000000000a1",
    }
    assert expected.items() <= first.attributes.items()
    resource = {item.key: item.string_value for item in first.raw.resource}
    assert resource == {
        "agentsight.cluster": "test",
        "host.name": "node-1",
        "service.name": "demo-agent",
    }


def test_a_word_of_the_user_starts_a_turn_of_the_same_thread(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 2, [user("one")], [text("1")])
    log.call(5, 6, [user("one"), assistant(text("1")), user("two")], [text("2")])
    log.end(9)
    turns = run(log).named(TURN)
    assert [turn.attributes["agentsight.thread"] for turn in turns] == ["main", "main"]
    assert turns[0].raw.trace_id != turns[1].raw.trace_id


def test_a_side_call_during_a_tool_does_not_end_the_tool(run):
    log = AgentLog()
    log.start(0)
    asked = [tool_use("t1", "bash", command="make")]
    log.call(1, 2, [user("Build it")], asked)
    log.call(2.5, 3, [user("Build it")], [text("Building")], system="Write a title.")
    done = [user("Build it"), assistant(*asked), results(tool_result("t1", "ok"))]
    log.call(9, 10, done, [text("Built")])
    log.end(12)
    found = run(log)
    (tool,) = found.named("execute_tool bash")
    assert tool.raw.end_ns == wall_ns(9)
    threads = [turn.attributes["agentsight.thread"] for turn in found.named(TURN)]
    assert threads == ["main", "side"]
    assert len({span.raw.trace_id for span in found.named(CHAT)}) == 2


def test_a_subagent_hangs_under_the_tool_call_that_started_it(run):
    log = AgentLog()
    log.start(0)
    prompt = "Find every use of the old name in the tests."
    asked = [tool_use("t1", "Task", prompt=prompt, description="search")]
    log.call(1, 2, [user("Rename it")], asked)
    log.call(2.5, 3, [user(prompt)], [text("in a.py")], system="You search.")
    done = [user("Rename it"), assistant(*asked), results(tool_result("t1", "in a.py"))]
    log.call(4, 5, done, [text("ok")])
    log.end(7)
    found = run(log)
    assert f"{TURN} > execute_tool Task > {TURN} > {CHAT}" in found.paths()


def test_a_tool_without_result_says_so(run):
    log = AgentLog()
    log.start(0)
    asked = [tool_use("t1", "bash", command="sleep 100")]
    log.call(1, 2, [user("Go")], asked)
    interrupted = [user("Go"), assistant(*asked), user("No, stop")]
    log.call(5, 6, interrupted, [text("ok")])
    log.call(7, 8, [*interrupted, assistant(text("ok")), user("x")], [tool_use("t2", "bash")])
    log.end(9)
    tools = run(log).named("execute_tool bash")
    assert [tool.attributes["agentsight.tool.outcome"] for tool in tools] == [
        "no_result",
        "ended",
    ]
    assert tools[0].raw.end_ns == wall_ns(5)


def test_a_failed_tool_is_an_error(run):
    log = AgentLog()
    log.start(0)
    asked = [tool_use("t1", "bash", command="false")]
    log.call(1, 2, [user("Go")], asked)
    failed = results(tool_result("t1", "exit 1", is_error=True))
    log.call(3, 4, [user("Go"), assistant(*asked), failed], [text("it failed")])
    log.end(5)
    found = run(log)
    (tool,) = found.named("execute_tool bash")
    assert tool.raw.status == findings_pb2.SPAN_STATUS_ERROR
    assert tool.attributes["error.type"] == "tool_error"
    assert found.summaries[-1].failed_tool_calls == 1


def test_each_message_is_stored_once(run):
    found = run(two_step_log())
    roles = [item.message.role for item in found.bodies("message")]
    # system, user, answer, tool result, answer; the repeated ones of the second request are not new
    assert len(roles) == 5
    assert len({item.message.hash for item in found.bodies("message")}) == 5


def test_content_is_cut_to_valid_json_with_its_hash(run):
    log = AgentLog()
    log.start(0)
    long = "é\n" * 20_000
    asked = [tool_use("t1", "write", content=long)]
    log.call(1, 2, [user("first"), assistant(text("a")), user(long)], asked, system=long)
    log.end(5)
    found = run(log)
    (call,) = found.named(CHAT)
    for key in ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"):
        value = call.attributes[key]
        assert len(value.encode()) <= 8 * 1024
        assert isinstance(json.loads(value), list)
    last = json.loads(call.attributes["gen_ai.input.messages"])[-1]
    assert last["parts"][0]["agentsight.cut"] is True
    assert len(call.attributes["agentsight.cut.gen_ai.system_instructions.hash"]) == 32
    (tool,) = found.named("execute_tool write")
    assert len(tool.attributes["gen_ai.tool.call.arguments"].encode()) <= 8 * 1024
    assert tool.attributes["agentsight.cut.gen_ai.tool.call.arguments.bytes"] > 40_000


def test_of_a_long_history_the_last_messages_are_on_the_span(run):
    log = AgentLog()
    log.start(0)
    history = [user(f"{number} {'x' * 200}") for number in range(100)]
    log.call(1, 2, history, [text("ok")])
    log.end(5)
    (call,) = run(log).named(CHAT)
    kept = json.loads(call.attributes["gen_ai.input.messages"])
    assert kept[-1]["parts"][0]["content"].startswith("99 ")
    omitted = call.attributes["agentsight.cut.gen_ai.input.messages.omitted"]
    assert len(kept) + omitted == 100
    assert 20 < len(kept) < 40


def test_content_can_be_kept_off_spans(run):
    found = run(two_step_log(), FoldSettings(content_on_spans=False))
    keys = {key for span in found.spans for key in span.attributes}
    assert not keys & {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
    }


def test_a_turn_that_goes_quiet_ends(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 2, [user("hi")], error=(400, "invalid_request_error"))
    log.tick(600)
    found = run(log)
    (turn,) = found.named(TURN)
    assert (turn.raw.end_ns, turn.attributes["error.type"]) == (wall_ns(2), "invalid_request_error")
    assert turn.raw.status == findings_pb2.SPAN_STATUS_ERROR


def test_requests_that_are_no_calls_give_no_span_and_are_counted(run):
    log = AgentLog()
    log.start(0)
    log.exchange(1, 2, {"any": "thing"}, (200, {"ok": True}), target="/healthz")
    log.end(3)
    found = run(log)
    assert found.paths() == ["session demo-agent", "session demo-agent > python3"]
    assert found.total("agentsight.exchanges", kind="other") == 1


def test_calls_of_an_imported_recording_are_all_kept(run):
    log = AgentLog()
    log.start(0, origin=events_pb2.SESSION_ORIGIN_IMPORT)
    for number in range(3):
        log.call(number, number + 0.5, [user("same")], error=(429, "rate_limit_error"))
    log.call(4, 5, [user("same")], [text("ok")])
    log.end(6)
    found = run(log)
    spans = found.named(CHAT)
    assert [span.raw.start_ns for span in spans] == [wall_ns(at) for at in (0, 1, 2, 4)]
    assert [span.attributes.get("error.type") for span in spans] == ["rate_limit_error"] * 3 + [
        None
    ]
    assert len({span.raw.trace_id for span in spans}) == 1
