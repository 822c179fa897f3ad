"""Traffic of the google-genai SDK: Gemini API, Interactions."""

from __future__ import annotations

import json
from typing import Any

from google import genai
from google.genai import types
from record import Scenario, sse

HOST = "generativelanguage.googleapis.com"
MODEL = "gemini-2.5-flash"
SSE = "text/event-stream"
USAGE = {
    "promptTokenCount": 120,
    "cachedContentTokenCount": 64,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 300,
    "toolUsePromptTokenCount": 7,
    "totalTokenCount": 447,
}


# A client closes its connections when it is collected, even if a call is under way.
_ALIVE: list[genai.Client] = []


def client(base: str) -> genai.Client:
    options = types.HttpOptions(base_url=base)
    _ALIVE.append(genai.Client(api_key="none", http_options=options))
    return _ALIVE[-1]


def tool() -> types.Tool:
    return types.Tool(
        function_declarations=[types.FunctionDeclaration(name="get_weather", description="w")]
    )


def config() -> types.GenerateContentConfig:
    return types.GenerateContentConfig(temperature=0.1, tools=[tool()], system_instruction="Brief.")


def generate(base: str) -> object:
    return client(base).models.generate_content(model=MODEL, contents="Weather?", config=config())


def stream(base: str) -> object:
    made = client(base).models.generate_content_stream(
        model=MODEL, contents="Weather?", config=config()
    )
    return list(made)


def answer(parts: list[Any], reason: str | None, usage: dict[str, Any] | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason:
        candidate["finishReason"] = reason
    made: dict[str, Any] = {
        "candidates": [candidate],
        "modelVersion": "gemini-2.5-flash-001",
        "responseId": "r1",
    }
    return {**made, "usageMetadata": usage} if usage else made


CALLS = [
    {
        "functionCall": {"name": "get_weather", "args": {"city": "Paris"}},
        "thoughtSignature": "c2ln",
    },
    {"functionCall": {"name": "get_time", "args": {}}},
]
EARLY = {"promptTokenCount": 120, "totalTokenCount": 420, "thoughtsTokenCount": 300}


def expect(**changes: Any) -> dict[str, Any]:
    return {
        "provider": "gcp.gemini",
        "operation": "generate_content",
        "request_model": MODEL,
        "response_model": "gemini-2.5-flash-001",
        "stream": False,
        "input_tokens": 127,
        "output_tokens": 320,
        "tool_names": [],
        "error_type": "",
        **changes,
    }


STREAM = [
    answer([{"text": "Hm", "thought": True}], None, EARLY),
    answer([{"text": "I look."}], None, {**EARLY, "candidatesTokenCount": 4}),
    answer(CALLS, "STOP", USAGE),
]
ERROR = {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": []}}
GEMINI = [
    Scenario(
        "answer",
        HOST,
        generate,
        answer([{"text": "Sunny"}], "STOP", USAGE),
        expect(),
    ),
    Scenario(
        "stream with function calls",
        HOST,
        stream,
        sse(STREAM),
        expect(stream=True, tool_names=["get_weather", "get_time"]),
        content_type=SSE,
    ),
    Scenario(
        "blocked prompt",
        HOST,
        generate,
        {
            "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
            "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
            "modelVersion": "gemini-2.5-flash-001",
        },
        expect(input_tokens=9, output_tokens=None),
    ),
    Scenario(
        "quota",
        HOST,
        generate,
        ERROR,
        expect(
            response_model="",
            input_tokens=None,
            output_tokens=None,
            error_type="RESOURCE_EXHAUSTED",
        ),
        status=429,
        fails=True,
    ),
    Scenario(
        "embeddings",
        HOST,
        lambda base: client(base).models.embed_content(
            model="gemini-embedding-001", contents=["a", "b"]
        ),
        {"embeddings": [{"values": [0.1]}, {"values": [0.2]}]},
        expect(
            operation="embeddings",
            request_model="gemini-embedding-001",
            response_model="",
            input_tokens=None,
            output_tokens=None,
        ),
    ),
    Scenario(
        "count tokens",
        HOST,
        lambda base: client(base).models.count_tokens(model=MODEL, contents="hi"),
        {"totalTokens": 1},
        None,
    ),
]

INTERACTION = {
    "id": "i1",
    "object": "interaction",
    "model": MODEL,
    "role": "model",
    "status": "completed",
    "created": "2026-01-05T10:00:00Z",
    "updated": "2026-01-05T10:00:01Z",
    "steps": [
        {"type": "thought", "signature": "c2ln"},
        {"type": "function_call", "id": "c1", "name": "get_weather", "arguments": {"city": "Rome"}},
    ],
    "usage": {
        "total_input_tokens": 50,
        "total_output_tokens": 6,
        "total_thought_tokens": 30,
        "total_cached_tokens": 0,
        "total_tool_use_tokens": 0,
        "total_tokens": 86,
    },
}


def interact(base: str, **extra: Any) -> object:
    made = client(base).interactions.create(model=MODEL, input="Weather?", **extra)
    return list(made) if extra.get("stream") else made


def interaction_events() -> str:
    bare = {key: value for key, value in INTERACTION.items() if key not in {"steps", "usage"}}
    events = [
        {"event_type": "interaction.created", "interaction": {**bare, "status": "in_progress"}},
        {
            "event_type": "step.start",
            "index": 0,
            "step": {"type": "function_call", "id": "c1", "name": "get_weather", "arguments": {}},
        },
        {
            "event_type": "step.delta",
            "index": 0,
            "delta": {"type": "arguments_delta", "arguments": json.dumps({"city": "Rome"})},
        },
        {"event_type": "step.stop", "index": 0},
        {
            "event_type": "interaction.completed",
            "interaction": {**bare, "usage": INTERACTION["usage"]},
        },
    ]
    return sse(events, done=True)


def expect_interaction(**changes: Any) -> dict[str, Any]:
    counts = {"operation": "chat", "response_model": MODEL, "input_tokens": 50, "output_tokens": 36}
    return expect(**{**counts, "tool_names": ["get_weather"], **changes})


INTERACTIONS = [
    Scenario("answer", HOST, interact, INTERACTION, expect_interaction()),
    Scenario(
        "stream",
        HOST,
        lambda base: interact(base, stream=True),
        interaction_events(),
        expect_interaction(stream=True),
        content_type=SSE,
    ),
]
FAMILIES = {"gemini": GEMINI, "interactions": INTERACTIONS}
