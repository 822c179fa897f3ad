"""Anthropic Messages: usage sums, tool calls, streams and their ends, errors."""

from __future__ import annotations

import pytest

URL = "https://api.anthropic.com/v1/messages?beta=true"
MODEL = "claude-sonnet-4-5"
ASK = {
    "model": MODEL,
    "max_tokens": 100,
    "stream": True,
    "temperature": 0.5,
    "messages": [{"role": "user", "content": "hi"}],
}
USAGE = {"input_tokens": 10, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 5}
START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "model": "claude-sonnet-4-5-20250929",
        "usage": {**USAGE, "output_tokens": 1},
    },
}
TOOL = [
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": '{"cmd": '},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": '"ls"}'},
    },
    {"type": "content_block_stop", "index": 0},
]
END = [
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 42}},
    {"type": "message_stop"},
]


def test_stream_with_tool_call(read, sse):
    body = sse([START, {"type": "ping"}, *TOOL, *END], named=True)
    call = read(URL, ASK, body, headers={"request-id": "req_1"})

    assert (call.provider, call.operation, call.stream) == ("anthropic", "chat", True)
    assert (call.request_model, call.response_model) == (MODEL, "claude-sonnet-4-5-20250929")
    assert (call.usage.input_tokens, call.usage.output_tokens) == (22, 42)
    assert (call.usage.cache_read_tokens, call.usage.cache_write_tokens) == (7, 5)
    assert [(t.id, t.name, t.arguments) for t in call.tool_calls] == [
        ("toolu_1", "bash", '{"cmd": "ls"}')
    ]
    assert call.finish_reasons == ("tool_use",)
    assert (call.error_type, call.problems, call.request_id) == ("", (), "req_1")
    assert call.attributes["gen_ai.request.temperature"] == 0.5
    assert call.cost_usd is not None


def test_cut_stream_keeps_input_and_invents_no_output(read, sse):
    call = read(URL, ASK, sse([START, *TOOL[:2]], named=True))
    assert (call.usage.input_tokens, call.usage.output_tokens) == (22, None)
    assert call.error_type == "aborted"
    assert [t.name for t in call.tool_calls] == ["bash"]


def test_error_within_a_stream_of_status_200(read, sse):
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    call = read(URL, ASK, sse([START, error], named=True))
    assert (call.error_type, call.error_message, call.retryable) == (
        "overloaded_error",
        "Overloaded",
        True,
    )


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(400, "invalid_request_error", False), (429, "rate_limit_error", True)],
)
def test_error_status(read, status, kind, retryable):
    body = {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_2"}
    call = read(URL, ASK, body, status=status)
    assert (call.error_type, call.error_message, call.retryable) == (kind, "no", retryable)
    assert call.stream


def test_a_streamed_message_hashes_like_the_one_the_client_sends_back(read, sse):
    streamed = read(URL, ASK, sse([START, *TOOL, *END], named=True))
    block = {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "bash",
        "input": {"cmd": "ls"},
        "cache_control": {"type": "ephemeral"},
    }
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x", "is_error": True}
    history = [{"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}]
    repeated = read(URL, {**ASK, "messages": history}, b"{}")

    assert repeated.input[0].hash == streamed.output[0].hash
    assert repeated.input[1].role == "tool"
    assert repeated.input[1].tool_results[0].is_error
    assert repeated.input[1].tool_results[0].content == "x"


def test_cumulative_counts_restated_in_message_delta(read, sse):
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 30, "cache_read_input_tokens": 7, "output_tokens": 9},
    }
    call = read(URL, ASK, sse([START, end]))
    assert call.usage.input_tokens == 30 + 7 + 5
    assert call.usage.output_tokens == 9


def test_vertex_takes_model_and_stream_from_the_path(read, sse):
    url = (
        "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/"
        "anthropic/models/claude-sonnet-4@20250514:streamRawPredict"
    )
    ask = {k: v for k, v in ASK.items() if k != "model"}
    call = read(url, ask, sse([START, *TOOL, *END], named=True))
    assert (call.provider, call.request_model) == ("gcp.vertex_ai", "claude-sonnet-4@20250514")
    assert call.stream


def test_server_tools_are_no_calls_for_the_client(read):
    content = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "tool_use", "id": "toolu_2", "name": "read", "input": {"path": "a"}},
    ]
    answer = {"type": "message", "model": MODEL, "content": content, "stop_reason": "tool_use"}
    call = read(URL, {**ASK, "stream": False}, answer)
    assert [t.name for t in call.tool_calls] == ["read"]
    assert call.usage.input_tokens is None
