"""OpenAI Realtime: one response of a conversation over a WebSocket.

https://developers.openai.com/api/reference/resources/realtime. `socket_calls` puts together what
was asked: {"session": …, "response": …, "items": […]}.
"""

from __future__ import annotations

from agentsight_aggregator.providers.drafts import (
    COMMON_PARAMETERS,
    Answer,
    Chunk,
    Request,
    WireFormat,
    read_parameters,
    tool_definitions,
)
from agentsight_aggregator.providers.messages import build_message, text_part
from agentsight_aggregator.providers.openai_responses import RESPONSES, read_items
from agentsight_aggregator.providers.payload import record, records, text


def _read_request(body: dict[str, object]) -> Request:
    session, asked = record(body.get("session")), record(body.get("response"))
    settings = {**session, **asked}
    limits = {"max_tokens": settings.get("max_output_tokens")}
    request = Request(
        model=text(session.get("model")),
        stream=True,
        attributes=read_parameters({**settings, **limits}, COMMON_PARAMETERS),
        tools=tool_definitions(records(settings.get("tools"))),
    )
    if text(settings.get("instructions")):
        request.system = build_message("system", [text_part(text(settings["instructions"]))])
    given = asked.get("input")
    items = records(given) if isinstance(given, list) else records(body.get("items"))
    request.messages = read_items([_as_text(item) for item in items])
    return request


def _as_text(item: dict[str, object]) -> dict[str, object]:
    """Return an item with what was said instead of its sound."""
    if not isinstance(item.get("content"), list):
        return item
    parts = [
        {"type": "text", "text": part["transcript"]} if text(part.get("transcript")) else part
        for part in records(item["content"])
    ]
    return {**item, "content": parts}


def _read_answer(body: dict[str, object]) -> Answer:
    return RESPONSES.read_answer(body)


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = RESPONSES.read_stream([_spoken(chunk) for chunk in chunks])
    done = next((c.value for c in reversed(chunks) if c.value.get("type") == "response.done"), {})
    response = record(done.get("response"))
    details = record(response.get("status_details"))
    answer.finished = answer.finished or bool(done)
    if text(details.get("reason")):
        answer.finish_reasons = [text(details["reason"])]
    if response.get("status") == "failed":
        answer.failure = {"error": details.get("error") or {}}
    return answer


def _spoken(chunk: Chunk) -> Chunk:
    """Return a chunk that has items in it with what was said instead of their sound."""
    value = chunk.value
    response = record(value.get("response"))
    if "output" in response:
        output = [_as_text(item) for item in records(response["output"])]
        return chunk._replace(value={**value, "response": {**response, "output": output}})
    if "item" in value:
        return chunk._replace(value={**value, "item": _as_text(record(value["item"]))})
    return chunk


REALTIME = WireFormat(_read_request, _read_answer, _read_stream)
