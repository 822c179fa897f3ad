"""Traffic of the ollama, cohere and mistralai SDKs."""

from __future__ import annotations

import json
from typing import Any

import cohere
import ollama
from mistralai.client import Mistral
from record import Scenario, sse

OLLAMA = "localhost:11434"
COHERE = "api.cohere.com"
MISTRAL = "api.mistral.ai"
LLAMA = "llama3.2"
COMMAND = "command-a-03-2025"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
MESSAGES: list[Any] = [{"role": "user", "content": "Weather?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "w",
            "parameters": {"type": "object", "properties": {}},
        },
    }
]


def expect(**changes: Any) -> dict[str, Any]:
    return {
        "operation": "chat",
        "response_model": "",
        "stream": False,
        "input_tokens": 26,
        "output_tokens": 298,
        "tool_names": [],
        "error_type": "",
        **changes,
    }


def lines(items: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def part(message: dict[str, Any], **extra: Any) -> dict[str, Any]:
    made = {"model": LLAMA, "created_at": "2026-01-05T10:00:00Z", "done": False}
    return {**made, "message": {"role": "assistant", **message}, **extra}


COUNTS = {
    "done": True,
    "done_reason": "stop",
    "total_duration": 5,
    "load_duration": 1,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 1,
    "eval_count": 298,
    "eval_duration": 3,
}
CALL = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}


def ask_ollama(base: str, **extra: Any) -> object:
    made = ollama.Client(host=base).chat(model=LLAMA, messages=MESSAGES, **extra)
    return list(made) if extra.get("stream") else made


def expect_ollama(**changes: Any) -> dict[str, Any]:
    named = {"provider": "ollama", "request_model": LLAMA, "response_model": LLAMA}
    return expect(**{**named, **changes})


def generate(base: str, prompt: str, **extra: Any) -> object:
    made = ollama.Client(host=base).generate(model=LLAMA, prompt=prompt, **extra)
    return list(made) if extra.get("stream") else made


def generated(words: str, **extra: Any) -> dict[str, Any]:
    made = {"model": LLAMA, "created_at": "2026-01-05T10:00:00Z", "response": words}
    return {**made, "done": False, **extra}


OLLAMAS = [
    Scenario(
        "answer",
        OLLAMA,
        lambda base: ask_ollama(base, options={"temperature": 0, "num_predict": 5}),
        part({"content": "Sunny"}, **COUNTS),
        expect_ollama(),
    ),
    Scenario(
        "stream with tool call",
        OLLAMA,
        lambda base: ask_ollama(base, stream=True, tools=TOOLS),
        lines(
            [
                part({"content": "", "thinking": "Hm"}),
                part({"content": "", "tool_calls": [CALL]}),
                part({"content": ""}, **COUNTS),
            ]
        ),
        expect_ollama(stream=True, tool_names=["get_weather"]),
        content_type=NDJSON,
    ),
    Scenario(
        "error within the stream",
        OLLAMA,
        lambda base: ask_ollama(base, stream=True),
        lines([part({"content": "Su"}), {"error": "an error was encountered"}]),
        expect_ollama(stream=True, input_tokens=None, output_tokens=None, error_type="_OTHER"),
        content_type=NDJSON,
        fails=True,
    ),
    Scenario(
        "no such model",
        OLLAMA,
        ask_ollama,
        {"error": "model 'llama3.2' not found"},
        expect_ollama(response_model="", input_tokens=None, output_tokens=None, error_type="404"),
        status=404,
        fails=True,
    ),
    Scenario(
        "generate",
        OLLAMA,
        lambda base: generate(base, "Hi", stream=True),
        lines([generated("He"), generated("y"), generated("", **COUNTS)]),
        expect_ollama(operation="text_completion", stream=True),
        content_type=NDJSON,
    ),
    Scenario(
        "loading a model",
        OLLAMA,
        lambda base: generate(base, ""),
        generated("", done=True, done_reason="load"),
        None,
    ),
    Scenario(
        "embed",
        OLLAMA,
        lambda base: ollama.Client(host=base).embed(model="all-minilm", input=["a"]),
        {"model": "all-minilm", "embeddings": [[0.1]], "prompt_eval_count": 4},
        expect_ollama(
            operation="embeddings",
            request_model="all-minilm",
            response_model="all-minilm",
            input_tokens=4,
            output_tokens=None,
        ),
    ),
]

COHERE_USAGE = {
    "billed_units": {"input_tokens": 26, "output_tokens": 298},
    "tokens": {"input_tokens": 1442, "output_tokens": 310},
    "cached_tokens": 0,
}


def ask_cohere(base: str, *, stream: bool = False) -> object:
    sdk = cohere.ClientV2(api_key="none", base_url=base)
    if stream:
        return list(sdk.chat_stream(model=COMMAND, messages=MESSAGES, tools=TOOLS))
    return sdk.chat(model=COMMAND, messages=MESSAGES, request_options={"max_retries": 0})


def cohere_call(index: int, name: str) -> list[dict[str, Any]]:
    start = {"id": f"{name}_1", "type": "function", "function": {"name": name, "arguments": ""}}
    deltas = ['{"city"', ': "Paris"}']
    return [
        {
            "type": "tool-call-start",
            "index": index,
            "delta": {"message": {"tool_calls": start}},
        },
        *(
            {
                "type": "tool-call-delta",
                "index": index,
                "delta": {"message": {"tool_calls": {"function": {"arguments": piece}}}},
            }
            for piece in deltas
        ),
        {"type": "tool-call-end", "index": index},
    ]


COHERE_STREAM = [
    {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant"}}},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I look."}}},
    *cohere_call(0, "get_weather"),
    *cohere_call(1, "get_time"),
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": COHERE_USAGE}},
]


def expect_cohere(**changes: Any) -> dict[str, Any]:
    counts = {"input_tokens": 1442, "output_tokens": 310}
    return expect(**{"provider": "cohere", "request_model": COMMAND, **counts, **changes})


COHERES = [
    Scenario(
        "answer: consumed and billed tokens",
        COHERE,
        ask_cohere,
        {
            "id": "c1",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Sunny"}]},
            "usage": COHERE_USAGE,
        },
        expect_cohere(),
    ),
    Scenario(
        "stream with tool calls",
        COHERE,
        lambda base: ask_cohere(base, stream=True),
        sse(COHERE_STREAM, named=True),
        expect_cohere(stream=True, tool_names=["get_weather", "get_time"]),
        content_type=SSE,
    ),
    Scenario(
        "wrong key",
        COHERE,
        ask_cohere,
        {"id": "x", "message": "invalid api token"},
        expect_cohere(input_tokens=None, output_tokens=None, error_type="401"),
        status=401,
        fails=True,
    ),
    Scenario(
        "embed",
        COHERE,
        lambda base: cohere.ClientV2(api_key="none", base_url=base).embed(
            model="embed-v4.0", texts=["a"], input_type="search_query", embedding_types=["float"]
        ),
        {
            "id": "e1",
            "response_type": "embeddings_by_type",
            "embeddings": {"float": [[0.1]]},
            "texts": ["a"],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4}},
        },
        expect_cohere(
            operation="embeddings", request_model="embed-v4.0", input_tokens=4, output_tokens=None
        ),
    ),
]

LARGE = "mistral-large-latest"


def ask_mistral(base: str, *, stream: bool = False) -> object:
    sdk = Mistral(api_key="none", server_url=base)
    if stream:
        return list(sdk.chat.stream(model=LARGE, messages=MESSAGES))
    return sdk.chat.complete(model=LARGE, messages=MESSAGES)


def mistral_chunk(delta: dict[str, Any], reason: str | None, **extra: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    made = {"id": "m1", "object": "chat.completion.chunk", "created": 1, "model": LARGE}
    return {**made, "choices": [choice], **extra}


MISTRAL_USAGE = {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324}
MISTRAL_CALLS = [
    {"id": "a1", "function": {"name": "get_weather", "arguments": "{}"}, "index": 0},
    {"id": "a2", "function": {"name": "get_weather", "arguments": "{}"}, "index": 0},
]


def expect_mistral(**changes: Any) -> dict[str, Any]:
    named = {"provider": "mistral_ai", "request_model": LARGE, "response_model": LARGE}
    return expect(**{**named, **changes})


MISTRALS = [
    Scenario(
        "stream whose calls share an index",
        MISTRAL,
        lambda base: ask_mistral(base, stream=True),
        sse(
            [
                mistral_chunk({"role": "assistant", "content": ""}, None),
                mistral_chunk(
                    {"content": "", "tool_calls": MISTRAL_CALLS}, "tool_calls", usage=MISTRAL_USAGE
                ),
            ],
            done=True,
        ),
        expect_mistral(stream=True, tool_names=["get_weather", "get_weather"]),
        content_type=SSE,
    ),
    Scenario(
        "numbered error",
        MISTRAL,
        ask_mistral,
        {
            "object": "error",
            "message": "no",
            "type": "invalid_model",
            "param": None,
            "code": "1500",
        },
        expect_mistral(
            response_model="", input_tokens=None, output_tokens=None, error_type="invalid_model"
        ),
        status=400,
        fails=True,
    ),
    Scenario(
        "fill in the middle",
        MISTRAL,
        lambda base: Mistral(api_key="none", server_url=base).fim.complete(
            model="codestral-latest", prompt="def f(", suffix="return a"
        ),
        {
            "id": "f1",
            "object": "chat.completion",
            "created": 1,
            "model": "codestral-latest",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "a):\n"},
                    "finish_reason": "stop",
                }
            ],
            "usage": MISTRAL_USAGE,
        },
        expect_mistral(
            operation="text_completion",
            request_model="codestral-latest",
            response_model="codestral-latest",
        ),
    ),
]
FAMILIES = {"ollama": OLLAMAS, "cohere": COHERES, "mistral": MISTRALS}
