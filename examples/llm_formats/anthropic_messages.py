"""Anthropic Messages: https://platform.claude.com/docs/en/build-with-claude/streaming ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llm_formats.scenario import Answer, Failure, Piece, Request, Step, fragments, words

API = "anthropic.messages"
PATH = "/v1/messages"
REQUEST_ID_HEADER = "request-id"
REQUEST_ID_PREFIX = "req_"
ANSWER_ID_PREFIX = "msg_"


def read_request(body: dict[str, Any]) -> Request:
    """Return what the client asks."""
    messages = body["messages"]
    first = next(message for message in messages if message["role"] == "user")
    content = first["content"]
    return Request(
        model=body["model"],
        stream=bool(body.get("stream")),
        task=content if isinstance(content, str) else content[0]["text"],
        answers=sum(message["role"] == "assistant" for message in messages),
    )


def whole(answer: Answer) -> dict[str, Any]:
    """Return the answer as one JSON object."""
    step = answer.step
    content: list[dict[str, Any]] = [{"type": "text", "text": step.text}] if step.text else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        for call in step.tool_calls
    ]
    return {
        **_message(answer),
        "content": content,
        "stop_reason": _stop_reason(step),
        "usage": _usage(step, step.usage.output),
    }


def events(answer: Answer) -> Iterator[Piece]:
    """Yield the answer as server-sent events."""
    step = answer.step
    message = {**_message(answer), "usage": _usage(step, 1)}
    yield _event({"type": "message_start", "message": message}, step.first_token_ms)
    index = 0
    if step.text:
        yield from _block(
            index,
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": word} for word in words(step.text)],
            step,
        )
        yield _event({"type": "ping"})
        index += 1
    for call in step.tool_calls:
        deltas = [
            {"type": "input_json_delta", "partial_json": text}
            for text in ("", *fragments(call.json))
        ]
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield from _block(index, block, deltas, step)
        index += 1
    yield _event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": _stop_reason(step), "stop_sequence": None},
            "usage": {"output_tokens": step.usage.output},
        }
    )
    yield _event({"type": "message_stop"})


def failure(failure: Failure, request_id: str) -> dict[str, Any]:
    """Return an error as one JSON object."""
    error = {"type": failure.type, "message": failure.message}
    return {"type": "error", "error": error, "request_id": request_id}


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(
    index: int, block: dict[str, Any], deltas: list[dict[str, Any]], step: Step
) -> Iterator[Piece]:
    yield _event({"type": "content_block_start", "index": index, "content_block": block})
    for delta in deltas:
        yield _event({"type": "content_block_delta", "index": index, "delta": delta}, step.token_ms)
    yield _event({"type": "content_block_stop", "index": index})


def _stop_reason(step: Step) -> str:
    return "tool_use" if step.tool_calls else "end_turn"


def _usage(step: Step, output_tokens: int) -> dict[str, Any]:
    """Return usage as this vendor counts it: `input_tokens` without the cached ones."""
    usage = step.usage
    return {
        "input_tokens": usage.input - usage.cache_read - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _event(data: dict[str, Any], pause_ms: int = 0) -> Piece:
    return Piece(f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode(), pause_ms)
