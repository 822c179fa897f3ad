"""Traffic of the anthropic SDK: api.anthropic.com, Vertex AI, Bedrock."""

from __future__ import annotations

from typing import Any

import anthropic
from record import Scenario, sse

HOST = "api.anthropic.com"
MODEL = "claude-sonnet-4-5"
DATED = "claude-sonnet-4-5-20250929"
ASK: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 512,
    "messages": [{"role": "user", "content": "What is in /tmp? Grüße \u2028"}],
}
TOOLS: list[Any] = [
    {"name": "bash", "description": "Run", "input_schema": {"type": "object", "properties": {}}},
    {"name": "read", "description": "Read", "input_schema": {"type": "object", "properties": {}}},
]
USAGE = {
    "input_tokens": 100,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 3000,
    "output_tokens": 3,
    "service_tier": "standard",
}


def client(base: str, **options: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=base, api_key="none", max_retries=0, **options)


def create(base: str, **extra: Any) -> object:
    return client(base).messages.create(**ASK, **extra)


def stream(base: str, **extra: Any) -> object:
    return list(client(base).messages.create(**ASK, stream=True, **extra))


def message(content: list[Any], stop: str, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": DATED,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def block(index: int, start: dict[str, Any], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def tool(index: int, name: str, pieces: list[str]) -> list[dict[str, Any]]:
    start = {"type": "tool_use", "id": f"toolu_0{index}", "name": name, "input": {}}
    return block(
        index, start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    )


START = {"type": "message_start", "message": {**message([], "", USAGE), "stop_reason": None}}
THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    [
        {"type": "thinking_delta", "thinking": "Two "},
        {"type": "thinking_delta", "thinking": "calls."},
        {"type": "signature_delta", "signature": "c2ln"},
    ],
)
TEXT = block(1, {"type": "text", "text": ""}, [{"type": "text_delta", "text": "I look.\u2028"}])
CALLS = [*tool(2, "bash", ["", '{"cmd": "ls ', '/tmp"}']), *tool(3, "read", ['{"path": "/tmp/a"}'])]
END = [
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 211, "output_tokens_details": {"thinking_tokens": 90}},
    },
    {"type": "message_stop"},
]
FULL = sse([START, {"type": "ping"}, *THINKING, *TEXT, *CALLS, *END], named=True)
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
SSE = "text/event-stream; charset=utf-8"


def expect(**changes: Any) -> dict[str, Any]:
    return {
        "provider": "anthropic",
        "operation": "chat",
        "request_model": MODEL,
        "response_model": DATED,
        "stream": False,
        "input_tokens": 3120,
        "output_tokens": 211,
        "tool_names": [],
        "error_type": "",
        **changes,
    }


def failed(**changes: Any) -> dict[str, Any]:
    nothing = {"response_model": "", "input_tokens": None, "output_tokens": None}
    return expect(**{**nothing, **changes})


def error(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_01"}


def vertex(base: str) -> object:
    sdk = anthropic.AnthropicVertex(
        region="us-east5", project_id="p", access_token="none", base_url=base, max_retries=0
    )
    return list(sdk.messages.create(**{**ASK, "model": "claude-sonnet-4@20250514"}, stream=True))


DIRECT = [
    Scenario(
        "answer",
        HOST,
        lambda base: create(base, system="Be brief."),
        message(
            [{"type": "text", "text": "Nothing."}],
            "end_turn",
            {"input_tokens": 12, "output_tokens": 5},
        ),
        expect(input_tokens=12, output_tokens=5),
    ),
    Scenario(
        "tool calls",
        HOST,
        lambda base: create(base, tools=TOOLS),
        message(
            [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"cmd": "ls"}},
                {"type": "tool_use", "id": "toolu_2", "name": "bash", "input": {}},
            ],
            "tool_use",
            {**USAGE, "output_tokens": 211},
        ),
        expect(tool_names=["bash", "bash"]),
    ),
    Scenario(
        "stream with thinking and tool calls",
        HOST,
        lambda base: stream(base, tools=TOOLS),
        FULL,
        expect(stream=True, tool_names=["bash", "read"]),
        content_type=SSE,
        headers={"request-id": "req_02"},
    ),
    Scenario(
        "beta",
        HOST,
        lambda base: list(
            client(base).beta.messages.create(**ASK, stream=True, betas=["context-1m-2025-08-07"])
        ),
        FULL,
        expect(stream=True, tool_names=["bash", "read"]),
        content_type=SSE,
    ),
    Scenario(
        "error within the stream",
        HOST,
        stream,
        sse([START, *TEXT[:2], OVERLOADED], named=True),
        expect(stream=True, output_tokens=None, error_type="overloaded_error"),
        content_type=SSE,
        fails=True,
    ),
    Scenario(
        "stream that is cut",
        HOST,
        stream,
        sse([START, *TEXT[:2]], named=True),
        expect(stream=True, output_tokens=None, error_type="aborted"),
        content_type=SSE,
    ),
    Scenario(
        "rate limit",
        HOST,
        create,
        error("rate_limit_error"),
        failed(error_type="rate_limit_error"),
        status=429,
        fails=True,
    ),
    Scenario(
        "bad request of a stream",
        HOST,
        stream,
        error("invalid_request_error"),
        failed(error_type="invalid_request_error", stream=True),
        status=400,
        fails=True,
    ),
    Scenario(
        "count tokens",
        HOST,
        lambda base: client(base).messages.count_tokens(model=MODEL, messages=ASK["messages"]),
        {"input_tokens": 12},
        None,
    ),
    Scenario(
        "Vertex AI",
        "us-east5-aiplatform.googleapis.com",
        vertex,
        FULL,
        expect(
            provider="gcp.vertex_ai",
            request_model="claude-sonnet-4@20250514",
            stream=True,
            tool_names=["bash", "read"],
        ),
        content_type=SSE,
    ),
]
FAMILIES = {"anthropic": DIRECT}
