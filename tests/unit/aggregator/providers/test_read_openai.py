"""OpenAI's formats and what compatible hosts make of them."""

from __future__ import annotations

import pytest

CHAT = "https://api.openai.com/v1/chat/completions"
RESPONSES = "https://api.openai.com/v1/responses"
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def chunk(delta, reason=None, **extra):
    return {"model": "m-1", "choices": [{"delta": delta, "finish_reason": reason}], **extra}


def call_delta(name, arguments, call_id="", index=None):
    made = {"function": {"name": name, "arguments": arguments}}
    made.update({"id": call_id} if call_id else {})
    return {**made, "index": index} if index is not None else made


def calls_of(read, sse, deltas):
    body = sse([*(chunk({"tool_calls": [d]}) for d in deltas), chunk({}, "tool_calls")], done=True)
    return [(c.id, c.name, c.arguments) for c in read(CHAT, ASK, body).tool_calls]


def test_interleaved_tool_calls_are_merged_by_index(read, sse):
    deltas = [
        call_delta("a", "", "1", 0),
        call_delta("b", "", "2", 1),
        call_delta("", '{"x"', index=0),
        call_delta("", '{"y"', index=1),
        call_delta("", ":1}", index=0),
        call_delta("", ":2}", index=1),
    ]
    assert calls_of(read, sse, deltas) == [("1", "a", '{"x":1}'), ("2", "b", '{"y":2}')]


def test_whole_calls_without_index_or_with_index_zero_are_separate(read, sse):
    expected = [("1", "a", "{}"), ("2", "a", "{}")]
    assert calls_of(read, sse, [call_delta("a", "{}", "1"), call_delta("a", "{}", "2")]) == expected
    same = [call_delta("a", "{}", "1", 0), call_delta("a", "{}", "2", 0)]
    assert calls_of(read, sse, same) == expected


def test_calls_without_ids_and_index_are_separate(read, sse):
    deltas = [call_delta("a", "{}"), call_delta("b", "{}")]
    assert calls_of(read, sse, deltas) == [("", "a", "{}"), ("", "b", "{}")]


def test_id_and_name_repeated_in_every_delta(read, sse):
    deltas = [call_delta("a", '{"x"', "1", 0), call_delta("a", ":1}", "1", 0)]
    assert calls_of(read, sse, deltas) == [("1", "a", '{"x":1}')]


def test_legacy_function_call(read, sse):
    body = sse(
        [
            chunk({"function_call": {"name": "a", "arguments": ""}}),
            chunk({"function_call": {"arguments": "{}"}}, "function_call"),
        ],
        done=True,
    )
    assert [c.name for c in read(CHAT, ASK, body).tool_calls] == ["a"]
    message = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "b", "arguments": ""},
    }
    answer = {"choices": [{"message": message, "finish_reason": "function_call"}]}
    assert [c.name for c in read(CHAT, ASK, answer).tool_calls] == ["b"]


def test_several_choices(read, sse):
    def one(index, content, reason=None):
        choice = {"index": index, "delta": {"content": content}, "finish_reason": reason}
        return {"choices": [choice]}

    body = sse([one(0, "a"), one(1, "b"), one(0, "c", "stop"), one(1, "", "length")])
    call = read(CHAT, {**ASK, "n": 2}, body)
    assert [m.text for m in call.output] == ["ac", "b"]
    assert call.finish_reasons == ("stop", "length")
    assert call.attributes["gen_ai.request.choice.count"] == 2


def test_a_message_repeated_beside_or_after_the_deltas_counts_once(read, sse):
    beside = {"choices": [{"delta": {"content": "b"}, "message": {"content": "ab"}}]}
    after = {"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}]}
    call = read(CHAT, ASK, sse([chunk({"content": "a"}), beside, after]))
    assert call.output[0].text == "ab"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # OpenAI: reasoning is within the completion.
        ((10, 50, 60, 40), 50),
        # x.ai: beside it.
        ((10, 50, 100, 40), 90),
        # No total, but more reasoning than completion.
        ((10, 5, None, 40), 45),
    ],
)
def test_reasoning_is_always_part_of_the_output(read, usage, expected):
    prompt, completion, total, reasoning = usage
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    call = read(CHAT, ASK, {"usage": counts, "choices": []})
    assert (call.usage.output_tokens, call.usage.reasoning_tokens) == (expected, reasoning)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens_details": {"cached_tokens": 7}},
        {"prompt_cache_hit_tokens": 7, "prompt_cache_miss_tokens": 3},
        {"cached_tokens": 7},
        {"prompt_tokens_details": None, "num_cached_tokens": 7},
    ],
)
def test_cache_reads_of_every_host(read, usage):
    call = read(CHAT, ASK, {"usage": {"prompt_tokens": 10, "completion_tokens": 1.0, **usage}})
    assert (call.usage.input_tokens, call.usage.cache_read_tokens) == (10, 7)
    assert call.usage.output_tokens == 1


def test_last_usage_of_a_stream_wins(read, sse):
    parts = [
        chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1}),
        chunk({}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 2}),
        {"choices": [], "usage": None},
    ]
    assert read(CHAT, ASK, sse(parts, done=True)).usage.output_tokens == 2


@pytest.mark.parametrize("end", ["finish_reason", "done"])
def test_either_end_mark_ends_a_stream(read, sse, end):
    body = sse(
        [chunk({"content": "a"}, "stop" if end == "finish_reason" else None)], done=end == "done"
    )
    assert read(CHAT, ASK, body).error_type == ""
    # Closing the connection after the end mark is no failure.
    assert read(CHAT, ASK, body, problem="the connection closed").error_type == ""


def test_a_stream_without_end_mark_is_aborted(read, sse):
    call = read(CHAT, ASK, sse([chunk({"content": "a"})]))
    assert (call.error_type, call.finish_reasons) == ("aborted", ("error",))
    cut_by_us = "the response body is cut at the configured cap"
    assert read(CHAT, ASK, sse([chunk({"content": "a"})]), problem=cut_by_us).error_type == ""


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, {"error": {"type": "tokens", "code": "rate_limit_exceeded"}}, "rate_limit_exceeded"),
        (400, {"error": {"type": "invalid_request_error", "code": None}}, "invalid_request_error"),
        # DeepSeek: the code is the same for all
        (
            401,
            {"error": {"type": "authentication_error", "code": "invalid_request_error"}},
            "authentication_error",
        ),
        (429, {"error": {"code": "429", "message": "no"}}, "429"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "no"}}, "DeploymentNotFound"),
        (400, {"error": {"code": "content_filter", "type": None, "status": 400}}, "content_filter"),
        # vLLM, old and new
        (404, {"object": "error", "type": "NotFoundError", "code": 404}, "NotFoundError"),
        (404, {"error": {"type": "NotFoundError", "code": 404}}, "NotFoundError"),
        # OpenRouter
        (402, {"error": {"code": 402, "message": "no"}}, "402"),
        # Zhipu's own numbers
        (400, {"error": {"code": "1211", "message": "no"}}, "1211"),
        # x.ai: a sentence is no code
        (400, {"code": "Client specified an invalid argument", "error": "no"}, "400"),
        # Cerebras
        (429, {"type": "too_many_requests_error", "code": "request_quota_exceeded"}, None),
        # Hugging Face TGI
        (422, {"error": "bad input", "error_type": "validation"}, "validation"),
        # Databricks
        (400, {"error_code": "BAD_REQUEST", "message": "no"}, "BAD_REQUEST"),
        # LiteLLM
        (401, {"error": {"type": "None", "code": "401", "message": "no"}}, "401"),
        # Google's compatible API: an array
        (400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT"}}], "INVALID_ARGUMENT"),
        # NVIDIA: RFC 9457
        (401, {"type": "urn:x:problem-details", "title": "Unauthorized", "status": 401}, "401"),
        (502, "<html>Bad gateway</html>", "502"),
        (503, "upstream connect error", "503"),
        (500, b"", "500"),
        (400, {"detail": [{"loc": ["body"]}]}, "400"),
    ],
)
def test_error_types(read, status, body, expected):
    call = read(CHAT, ASK, body, status=status)
    assert call.error_type == (expected or "request_quota_exceeded")
    assert call.request_model == "m"
    assert call.usage.input_tokens is None


def test_a_failure_with_status_200(read):
    call = read(CHAT, ASK, {"error": {"code": 502, "message": "provider down"}})
    assert (call.error_type, call.error_message) == ("502", "provider down")
    minimax = {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}}
    assert read(CHAT, ASK, minimax).error_type == "1004"


def test_no_response_at_all(read):
    assert read(CHAT, ASK, status=0, problem="net::ERR_CONNECTION_RESET").error_type == "aborted"
    call = read(CHAT, ASK, status=0, problem="net::ERR_TIMED_OUT")
    assert (call.error_type, call.retryable) == ("timeout", True)


def test_responses_keep_model_and_usage_of_a_failed_response(read):
    body = {
        "model": "gpt-5",
        "status": "failed",
        "error": {"code": "server_error", "message": "no"},
        "usage": {"input_tokens": 3, "output_tokens": 0},
    }
    call = read(RESPONSES, {"model": "gpt-5", "input": "x"}, body)
    assert (call.error_type, call.response_model, call.usage.input_tokens) == (
        "server_error",
        "gpt-5",
        3,
    )


def test_responses_error_event(read, sse):
    events = [
        {"type": "response.created", "response": {"model": "gpt-5", "usage": None}},
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None},
    ]
    call = read(
        RESPONSES, {"model": "gpt-5", "input": "x", "stream": True}, sse(events, named=True)
    )
    assert (call.error_type, call.error_message) == ("rate_limit_exceeded", "slow down")
    assert call.response_model == "gpt-5"


def test_responses_name_the_tools_that_the_client_runs(read):
    output = [
        {"type": "web_search_call", "id": "ws_1"},
        {"type": "mcp_call", "id": "mcp_1", "name": "remote"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "free text"},
        {"type": "local_shell_call", "call_id": "c3", "action": {"command": ["ls"]}},
    ]
    call = read(RESPONSES, {"model": "m", "input": "x"}, {"output": output, "status": "completed"})
    assert [t.name for t in call.tool_calls] == ["f", "patch", "local_shell"]
    assert call.tool_calls[1].arguments == "free text"


def test_responses_input_items_become_the_messages_of_the_last_answer(read):
    output = [{"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'}]
    first = read(RESPONSES, {"model": "m", "input": "x"}, {"output": output, "status": "completed"})
    history = [
        {"role": "user", "content": "x"},
        {**output[0], "arguments": '{"a":1}', "id": "fc_1", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
    ]
    ask = {"model": "m", "input": history, "previous_response_id": "resp_0"}
    call = read(RESPONSES, ask, b"{}")
    assert call.input[0].hash == first.input[0].hash
    assert call.input[1].hash == first.output[0].hash
    assert call.input[2].tool_results[0].content == "done"
    assert call.attributes["gen_ai.request.previous_response.id"] == "resp_0"


def test_a_cut_request_body_still_tells_model_and_stream(read):
    raw = '{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "lo'
    call = read(CHAT, raw, b"{}")
    assert (call.request_model, call.stream) == ("gpt-4o", True)
    assert any("cut" in problem for problem in call.problems)


def test_a_request_that_is_cut_before_it_says_so_streams_like_its_answer(read, sse):
    raw = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "lo'
    headers = {"content-type": "text/event-stream"}
    assert read(CHAT, raw, sse([chunk({}, "stop")]), headers=headers).stream
    assert not read(CHAT, raw, b"{}", headers={"content-type": "application/json"}).stream


def test_without_a_request_body_the_answer_tells_whether_it_streams(read, sse):
    body = sse([chunk({"content": "a"}, "stop")])
    call = read(CHAT, b"", body, headers={"content-type": "text/event-stream"})
    assert call.stream
    assert call.response_model == "m-1"


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("https://api.example.com/v1/messages", {"to": "x", "text": "SMS"}),
        ("https://app.example.com/api/chat", {"messages": [{"role": "user"}], "id": "1"}),
        ("https://example.com/v1/embeddings", {"video": "x"}),
        ("https://example.com/responses", {"form": 1}),
        (
            "https://x.cloud.databricks.com/serving-endpoints/churn/invocations",
            {"dataframe_split": {"columns": ["a"]}},
        ),
    ],
)
def test_other_programs_on_the_same_paths_are_no_calls(read, url, body):
    assert read(url, body, {"ok": True}) is None


def test_databricks_serves_many_formats_under_one_path(read):
    url = "https://x.cloud.databricks.com/serving-endpoints/bge/invocations"
    call = read(url, {"input": ["a"]}, {"usage": {"prompt_tokens": 3, "total_tokens": 3}})
    assert (call.operation, call.request_model, call.usage.input_tokens) == ("embeddings", "bge", 3)
    chat = read(url, ASK, {"choices": []})
    assert (chat.operation, chat.provider) == ("chat", "databricks")


def test_chunk_times(read, sse):
    body = sse(
        [chunk({"role": "assistant"}), chunk({"content": "a"}), chunk({"content": "b"}, "stop")]
    )
    second = body.index(b"data:", 1)
    call = read(CHAT, ASK, body, pieces=((0, 100), (second, 250)))
    assert (call.first_chunk_ns, call.chunks) == (250, 2)


def test_redirects_are_no_calls(read):
    assert read(CHAT, ASK, b"", status=307) is None


def test_gemini_through_the_compatible_api_counts_thoughts_in_the_total(read):
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 130}
    answer = {"model": "gemini-2.5-flash", "choices": [], "usage": usage}
    assert read(CHAT, ASK, answer).usage.output_tokens == 120
    assert read(CHAT, ASK, {**answer, "model": "other"}).usage.output_tokens == 20


def test_groq_fails_within_its_own_field(read, sse):
    parts = [chunk({"content": "a"}), {"choices": [], "x_groq": {"error": "over_capacity"}}]
    assert read(CHAT, ASK, sse(parts)).error_type == "over_capacity"
