"""Traffic of the openai and groq SDKs: chat, responses, Azure, compatible hosts."""

from __future__ import annotations

from typing import Any

import groq
import openai
from record import Scenario, sse

MODEL = "gpt-4o-mini"
DATED = "gpt-4o-mini-2024-07-18"
MESSAGES: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather in Paris and Rome?"},
]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
]
FLAT_TOOLS: list[Any] = [
    {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}
]
SSE = "text/event-stream; charset=utf-8"
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 80,
    "total_tokens": 1280,
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 64},
}


def client(base: str, prefix: str = "/v1") -> openai.OpenAI:
    return openai.OpenAI(base_url=base + prefix, api_key="none", max_retries=0)


def chat(base: str, prefix: str = "/v1", model: str = MODEL, **extra: Any) -> object:
    made = client(base, prefix).chat.completions.create(model=model, messages=MESSAGES, **extra)
    return list(made) if extra.get("stream") else made


def respond(base: str, **extra: Any) -> object:
    made = client(base).responses.create(model="gpt-5", input="Weather?", tools=FLAT_TOOLS, **extra)
    return list(made) if extra.get("stream") else made


def azure(base: str) -> object:
    sdk = openai.AzureOpenAI(
        azure_endpoint=base, api_version="2024-10-21", api_key="none", max_retries=0
    )
    return list(sdk.chat.completions.create(model="my-deployment", messages=MESSAGES, stream=True))


def fast(base: str) -> object:
    sdk = groq.Groq(base_url=base, api_key="none", max_retries=0)
    return list(sdk.chat.completions.create(model="llama-3.3-70b", messages=MESSAGES, stream=True))


def call(index: int, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "index": index,
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def more(index: int, arguments: str) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments}}


def answer(
    message: dict[str, Any], reason: str, model: str = DATED, **extra: Any
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767600000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": USAGE,
        **extra,
    }


def chunk(delta: dict[str, Any] | None, reason: str | None = None, **extra: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1767600000,
        "model": DATED,
        "choices": choices,
        **extra,
    }


WORDS = [
    chunk({"role": "assistant", "content": "", "refusal": None}, usage=None),
    chunk({"content": "Sunny"}, usage=None),
    chunk({"content": "."}, usage=None),
]
CALLS = [
    chunk(
        {"role": "assistant", "content": None, "tool_calls": [call(0, "call_1", "get_weather", "")]}
    ),
    chunk({"tool_calls": [more(0, '{"city": ')]}),
    chunk({"tool_calls": [more(0, '"Paris"}')]}),
    chunk({"tool_calls": [call(1, "call_2", "get_time", "")]}),
    chunk({"tool_calls": [more(1, "{}")]}),
    chunk({}, "tool_calls"),
    chunk(None, usage=USAGE),
]


def expect(**changes: Any) -> dict[str, Any]:
    return {
        "provider": "openai",
        "operation": "chat",
        "request_model": MODEL,
        "response_model": DATED,
        "stream": False,
        "input_tokens": 1200,
        "output_tokens": 80,
        "tool_names": [],
        "error_type": "",
        **changes,
    }


def failed(**changes: Any) -> dict[str, Any]:
    nothing = {"response_model": "", "input_tokens": None, "output_tokens": None}
    return expect(**{**nothing, **changes})


def error(kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": "no", "type": kind, "param": None, "code": code}}


ASSISTANT = {"role": "assistant", "content": "Sunny.", "refusal": None}
CHAT = [
    Scenario("answer", "api.openai.com", chat, answer(ASSISTANT, "stop"), expect()),
    Scenario(
        "tool calls",
        "api.openai.com",
        lambda base: chat(base, tools=TOOLS),
        answer(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    call(0, "call_1", "get_weather", '{"city": "Paris"}'),
                    call(1, "call_2", "get_weather", '{"city": "Rome"}'),
                ],
            },
            "tool_calls",
        ),
        expect(tool_names=["get_weather", "get_weather"]),
    ),
    Scenario(
        "stream with tool calls and usage",
        "api.openai.com",
        lambda base: chat(base, stream=True, tools=TOOLS, stream_options={"include_usage": True}),
        sse(CALLS, done=True),
        expect(stream=True, tool_names=["get_weather", "get_time"]),
        content_type=SSE,
    ),
    Scenario(
        "stream without usage",
        "api.openai.com",
        lambda base: chat(base, stream=True),
        sse([*WORDS, chunk({}, "stop")], done=True),
        expect(stream=True, input_tokens=None, output_tokens=None),
        content_type=SSE,
    ),
    Scenario(
        "error within the stream",
        "api.openai.com",
        lambda base: chat(base, stream=True),
        sse([*WORDS, error("server_error", None)]),
        expect(stream=True, input_tokens=None, output_tokens=None, error_type="server_error"),
        content_type=SSE,
        fails=True,
    ),
    Scenario(
        "rate limit",
        "api.openai.com",
        chat,
        error("tokens", "rate_limit_exceeded"),
        failed(error_type="rate_limit_exceeded"),
        status=429,
        fails=True,
    ),
    Scenario(
        "bad request",
        "api.openai.com",
        chat,
        error("invalid_request_error", None),
        failed(error_type="invalid_request_error"),
        status=400,
        fails=True,
    ),
    Scenario(
        "embeddings",
        "api.openai.com",
        lambda base: client(base).embeddings.create(model="text-embedding-3-small", input=["a"]),
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": "AAAAAA=="}],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        expect(
            operation="embeddings",
            request_model="text-embedding-3-small",
            response_model="text-embedding-3-small",
            input_tokens=8,
            output_tokens=None,
        ),
    ),
    Scenario(
        "legacy completion",
        "api.openai.com",
        lambda base: client(base).completions.create(model="gpt-3.5-turbo-instruct", prompt="Say"),
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1767600000,
            "model": "gpt-3.5-turbo-instruct:20230824-v2",
            "choices": [{"text": "Hi", "index": 0, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        },
        expect(
            operation="text_completion",
            request_model="gpt-3.5-turbo-instruct",
            response_model="gpt-3.5-turbo-instruct:20230824-v2",
            input_tokens=1,
            output_tokens=2,
        ),
    ),
    Scenario(
        "Azure stream",
        "me.openai.azure.com",
        azure,
        sse(
            [
                {**chunk(None), "model": "", "id": "", "prompt_filter_results": []},
                *WORDS,
                chunk({}, "stop"),
            ],
            done=True,
        ),
        expect(
            provider="azure.ai.openai",
            request_model="my-deployment",
            stream=True,
            input_tokens=None,
            output_tokens=None,
        ),
        content_type=SSE,
    ),
    Scenario(
        "Groq stream with its own place for usage",
        "api.groq.com",
        fast,
        sse(
            [
                chunk({"role": "assistant", "content": "Hi"}, x_groq={"id": "req_1"}),
                chunk({}, "stop", x_groq={"id": "req_1", "usage": USAGE}),
            ],
            done=True,
        ),
        expect(provider="groq", request_model="llama-3.3-70b", stream=True),
        content_type=SSE,
    ),
    Scenario(
        "x.ai counts reasoning beside the completion",
        "api.x.ai",
        lambda base: chat(base, model="grok-4"),
        answer(
            ASSISTANT,
            "stop",
            "grok-4-0709",
            usage={
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "prompt_tokens_details": {"cached_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
        ),
        expect(
            provider="x_ai",
            request_model="grok-4",
            response_model="grok-4-0709",
            input_tokens=32,
            output_tokens=103,
        ),
    ),
    Scenario(
        "OpenRouter: comments, usage in the last chunk, failure of the provider behind",
        "openrouter.ai",
        lambda base: chat(base, "/api/v1", "anthropic/claude-sonnet-4", stream=True),
        ": OPENROUTER PROCESSING\n\n"
        + sse(
            [
                WORDS[1],
                {
                    **chunk({"content": ""}, "error", usage=USAGE),
                    "error": {"code": 502, "message": "Provider disconnected"},
                },
            ]
        ),
        expect(
            provider="openrouter",
            request_model="anthropic/claude-sonnet-4",
            stream=True,
            error_type="502",
        ),
        content_type=SSE,
        fails=True,
    ),
]

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1767600000,
    "status": "completed",
    "model": "gpt-5-2025-08-07",
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": []},
        {
            "id": "fc_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "call_1",
            "name": "get_weather",
            "arguments": "{}",
        },
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "error": None,
    "incomplete_details": None,
    "usage": {
        "input_tokens": 75,
        "input_tokens_details": {"cached_tokens": 32},
        "output_tokens": 1186,
        "output_tokens_details": {"reasoning_tokens": 1024},
        "total_tokens": 1261,
    },
}
CREATED = {
    "type": "response.created",
    "sequence_number": 0,
    "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None},
}
ITEM = {
    "type": "response.output_item.done",
    "sequence_number": 3,
    "output_index": 1,
    "item": RESPONSE["output"][1],  # type: ignore[index]
}
DELTA = {
    "type": "response.function_call_arguments.delta",
    "sequence_number": 2,
    "output_index": 1,
    "item_id": "fc_1",
    "delta": "{}",
}


def finish(kind: str, **changes: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "sequence_number": 9, "response": {**RESPONSE, **changes}}


def expect_response(**changes: Any) -> dict[str, Any]:
    base = {"request_model": "gpt-5", "response_model": "gpt-5-2025-08-07"}
    counts = {"input_tokens": 75, "output_tokens": 1186, "tool_names": ["get_weather"]}
    return expect(**{**base, **counts, **changes})


RESPONSES = [
    Scenario("answer", "api.openai.com", respond, RESPONSE, expect_response()),
    Scenario(
        "stream",
        "api.openai.com",
        lambda base: respond(base, stream=True, reasoning={"effort": "low"}),
        sse([CREATED, DELTA, ITEM, finish("completed")], named=True),
        expect_response(stream=True),
        content_type=SSE,
    ),
    Scenario(
        "stream that ends incomplete",
        "api.openai.com",
        lambda base: respond(base, stream=True),
        sse(
            [
                CREATED,
                finish(
                    "incomplete",
                    status="incomplete",
                    output=[],
                    incomplete_details={"reason": "max_output_tokens"},
                ),
            ],
            named=True,
        ),
        expect_response(stream=True, tool_names=[]),
        content_type=SSE,
    ),
    Scenario(
        "stream that fails",
        "api.openai.com",
        lambda base: respond(base, stream=True),
        sse(
            [
                CREATED,
                finish(
                    "failed",
                    status="failed",
                    output=[],
                    usage=None,
                    error={"code": "rate_limit_exceeded", "message": "no"},
                ),
            ],
            named=True,
        ),
        expect_response(
            stream=True,
            tool_names=[],
            input_tokens=None,
            output_tokens=None,
            error_type="rate_limit_exceeded",
        ),
        content_type=SSE,
    ),
    Scenario(
        "stream that is cut",
        "api.openai.com",
        lambda base: respond(base, stream=True),
        sse([CREATED, DELTA, ITEM], named=True),
        expect_response(stream=True, input_tokens=None, output_tokens=None, error_type="aborted"),
        content_type=SSE,
    ),
    Scenario(
        "wrong key",
        "api.openai.com",
        respond,
        error("invalid_request_error", "invalid_api_key"),
        failed(request_model="gpt-5", error_type="invalid_api_key"),
        status=401,
        fails=True,
    ),
    Scenario(
        "cancel",
        "api.openai.com",
        lambda base: client(base).responses.cancel("resp_1"),
        RESPONSE,
        None,
    ),
]
FAMILIES = {"openai_chat": CHAT, "openai_responses": RESPONSES}
