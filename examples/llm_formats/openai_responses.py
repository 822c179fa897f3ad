"""OpenAI Responses: https://developers.openai.com/api/reference/resources/responses ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from llm_formats.scenario import Answer, Failure, Piece, Request, ToolCall, fragments, words

API = "openai.responses"
PATH = "/v1/responses"
REQUEST_ID_HEADER = "x-request-id"
REQUEST_ID_PREFIX = "req_"
ANSWER_ID_PREFIX = "resp_"


def read_request(body: dict[str, Any]) -> Request:
    """Return what the client asks. An answer is a run of items that the model wrote."""
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    ours = [
        item.get("role") == "assistant" or item.get("type") == "function_call" for item in items
    ]
    answers = sum(mine and not (at and ours[at - 1]) for at, mine in enumerate(ours))
    content = next(item["content"] for item in items if item.get("role") == "user")
    return Request(
        model=body["model"],
        stream=bool(body.get("stream")),
        task=content if isinstance(content, str) else content[0]["text"],
        answers=answers,
    )


def whole(answer: Answer) -> dict[str, Any]:
    """Return the answer as one JSON object."""
    return {**_head(answer, "completed"), "output": _items(answer), "usage": _usage(answer)}


def events(answer: Answer) -> Iterator[Piece]:
    """Yield the answer as server-sent events."""
    for number, (data, pause_ms) in enumerate(_events(answer)):
        event = {"type": data["type"], "sequence_number": number, **data}
        text = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        yield Piece(text.encode(), pause_ms)


def failure(failure: Failure, request_id: str) -> dict[str, Any]:
    """Return an error as one JSON object."""
    del request_id  # stands in the header only
    code = {"message": failure.message, "type": failure.type, "param": None, "code": failure.type}
    return {"error": code}


def _events(answer: Answer) -> Iterator[tuple[dict[str, Any], int]]:
    started = {**_head(answer, "in_progress"), "output": [], "usage": None}
    yield {"type": "response.created", "response": started}, 0
    yield {"type": "response.in_progress", "response": started}, answer.step.first_token_ms
    for index, item in enumerate(_items(answer)):
        kind = item["type"]
        empty = {**item, "status": "in_progress"}
        empty["content" if kind == "message" else "arguments"] = [] if kind == "message" else ""
        yield {"type": "response.output_item.added", "output_index": index, "item": empty}, 0
        place = {"item_id": item["id"], "output_index": index}
        if kind == "message":
            yield from _text(item["content"][0], place, answer.step.token_ms)
        else:
            for text in fragments(item["arguments"]):
                delta = {"type": "response.function_call_arguments.delta", "delta": text}
                yield {**delta, **place}, answer.step.token_ms
            done = {"type": "response.function_call_arguments.done", **place}
            yield {**done, "name": item["name"], "arguments": item["arguments"]}, 0
        yield {"type": "response.output_item.done", "output_index": index, "item": item}, 0
    yield {"type": "response.completed", "response": whole(answer)}, 0


def _text(
    part: dict[str, Any], place: dict[str, Any], token_ms: int
) -> Iterator[tuple[dict[str, Any], int]]:
    place = {**place, "content_index": 0}
    empty = {**part, "text": ""}
    yield {"type": "response.content_part.added", **place, "part": empty}, 0
    for word in words(part["text"]):
        delta = {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
        yield delta, token_ms
    text = {"text": part["text"], "logprobs": []}
    yield {"type": "response.output_text.done", **place, **text}, 0
    yield {"type": "response.content_part.done", **place, "part": part}, 0


def _items(answer: Answer) -> list[dict[str, Any]]:
    step = answer.step
    items = [_call_item(call) for call in step.tool_calls]
    if step.text:
        part = {"type": "output_text", "text": step.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{answer.id}", "role": "assistant"}
        items.insert(0, {**message, "status": "completed", "content": [part]})
    return items


def _call_item(call: ToolCall) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{call.id}",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.json,
        "status": "completed",
    }


def _head(answer: Answer, status: str) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created_s,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": answer.model,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {},
    }


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.step.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
