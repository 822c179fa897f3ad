"""OpenAI Chat Completions: https://developers.openai.com/api/reference/resources/chat ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llm_formats.scenario import Answer, Failure, Piece, Request, Step, fragments, words

API = "openai.chat"
PATH = "/v1/chat/completions"
REQUEST_ID_HEADER = "x-request-id"
REQUEST_ID_PREFIX = "req_"
ANSWER_ID_PREFIX = "chatcmpl-"


def read_request(body: dict[str, Any]) -> Request:
    """Return what the client asks."""
    messages = body["messages"]
    return Request(
        model=body["model"],
        stream=bool(body.get("stream")),
        task=next(message["content"] for message in messages if message["role"] == "user"),
        answers=sum(message["role"] == "assistant" for message in messages),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def whole(answer: Answer) -> dict[str, Any]:
    """Return the answer as one JSON object."""
    step = answer.step
    message: dict[str, Any] = {"role": "assistant", "content": step.text or None, "refusal": None}
    if step.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.json},
            }
            for call in step.tool_calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(step)}
    return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(step)}


def events(answer: Answer) -> Iterator[Piece]:
    """Yield the answer as server-sent events."""
    step = answer.step
    yield _chunk(answer, {"role": "assistant", "content": "", "refusal": None}, step.first_token_ms)
    for word in words(step.text):
        yield _chunk(answer, {"content": word}, step.token_ms)
    for index, call in enumerate(step.tool_calls):
        function = {"name": call.name, "arguments": ""}
        start = {"index": index, "id": call.id, "type": "function", "function": function}
        yield _chunk(answer, {"tool_calls": [start]}, step.token_ms)
        for text in fragments(call.json):
            delta = {"index": index, "function": {"arguments": text}}
            yield _chunk(answer, {"tool_calls": [delta]}, step.token_ms)
    yield _chunk(answer, {}, finish_reason=_reason(step))
    if answer.include_usage:
        yield _event({**_chunk_head(answer), "choices": [], "usage": _usage(step)})
    yield Piece(b"data: [DONE]\n\n")


def failure(failure: Failure, request_id: str) -> dict[str, Any]:
    """Return an error as one JSON object."""
    del request_id  # stands in the header only
    code = {"message": failure.message, "type": failure.type, "param": None, "code": failure.type}
    return {"error": code}


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created_s,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _chunk_head(answer: Answer) -> dict[str, Any]:
    return _head(answer, "chat.completion.chunk")


def _chunk(
    answer: Answer, delta: dict[str, Any], pause_ms: int = 0, *, finish_reason: str | None = None
) -> Piece:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {**_chunk_head(answer), "choices": [choice]}
    if answer.include_usage:
        chunk["usage"] = None
    return _event(chunk, pause_ms)


def _reason(step: Step) -> str:
    return "tool_calls" if step.tool_calls else "stop"


def _usage(step: Step) -> dict[str, Any]:
    usage = step.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _event(data: dict[str, Any], pause_ms: int = 0) -> Piece:
    return Piece(f"data: {json.dumps(data)}\n\n".encode(), pause_ms)
