"""From the bytes of an answer to JSON values, whichever of five framings it came in.

One JSON value; server-sent events; one JSON value a line; the elements of one JSON array; an AWS
event stream. The bytes decide, not the content type: proxies and recorders get that one wrong.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
from agentsight_core.parsers.eventstream import EventStreamMessage, EventStreamParser
from agentsight_core.parsers.messages import Malformed
from agentsight_core.parsers.ndjson import JsonStreamParser, JsonText
from agentsight_core.parsers.sse import ServerSentEvent, SseParser

from agentsight_aggregator.providers.drafts import Chunk
from agentsight_aggregator.providers.payload import (
    CUT,
    TOO_DEEP,
    decode_json,
    decode_whole_json,
    record,
    text,
)

# No bound on one event: the body is in memory already.
_MAX_BYTES = 2**62
_SSE_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Body:
    """The JSON of a response body: one value, or the chunks of a stream."""

    # None when the body is a stream, is empty or cannot be read.
    whole: object = None
    # None when the body is no stream.
    chunks: list[Chunk] | None = None
    # The stream said by itself that it is over ("[DONE]").
    done: bool = False
    is_empty: bool = False
    # The JSON value is cut; `whole` is what stood before.
    is_cut: bool = False
    problems: list[str] = field(default_factory=list)


def read_body(data: bytes, content_type: str) -> Body:
    """Return what `data` holds; never raises, what cannot be read is in `problems`."""
    stripped = data.removeprefix(_BOM).lstrip(b" \t\r\n")
    if not stripped:
        return Body(is_empty=True)
    if _is_event_stream(data, content_type):
        return _read_event_stream(data)
    if stripped.startswith(_SSE_STARTS):
        return _read_sse(data)
    if stripped.startswith((b"{", b"[", b")]}'")):
        return _read_json(data, stripped)
    return Body(problems=[f"the answer is not JSON: it begins with {stripped[:20]!r}"])


def read_json_lines(data: bytes) -> Body:
    """Return one JSON value a line as the chunks of a stream, even if it is only one."""
    return _read_json_stream(data) if data.strip() else Body(chunks=[])


def _read_json(data: bytes, stripped: bytes) -> Body:
    """Read one JSON value, or one after the other."""
    whole, problem = decode_json(stripped)
    if problem == TOO_DEEP:
        return Body(problems=[problem])
    if isinstance(whole, list) and not problem:
        return Body(whole=whole, chunks=_array_chunks(data))
    if isinstance(whole, dict) and problem.startswith(CUT):
        return Body(whole=whole, is_cut=True, problems=[problem])
    if isinstance(whole, dict) and "follow the JSON value" not in problem:
        return Body(whole=whole, problems=[problem] if problem else [])
    return _read_json_stream(data)


def _is_event_stream(data: bytes, content_type: str) -> bool:
    """By content type, or by a prelude: a length below 16 MiB begins with a zero byte."""
    return data[:1] == b"\0" or (
        "vnd.amazon.eventstream" in content_type and data[:1] not in (b"{", b"[")
    )


def _read_sse(data: bytes) -> Body:
    body = Body(chunks=[])
    assert body.chunks is not None
    parser = SseParser(max_event_bytes=_MAX_BYTES)
    for event in (*parser.feed(data), *parser.close()):
        if isinstance(event, Malformed):
            body.problems.append(f"stream: {event.reason} at byte {event.offset}")
            continue
        for part in _split_event(event):
            if part.data.strip() == "[DONE]":
                body.done = True
            elif part.data.strip():
                _add_event(body, body.chunks, part)
    return body


def _split_event(event: ServerSentEvent) -> list[ServerSentEvent]:
    """Return the events of a block whose lines are one JSON each: blank lines between were lost."""
    lines = event.data.split("\n")
    if len(lines) == 1 or not all(_is_json(line) for line in lines):
        return [event]
    return [msgspec.structs.replace(event, data=line) for line in lines]


def _is_json(words: str) -> bool:
    return words == "[DONE]" or not decode_json(words.encode("utf-8", "replace"))[1]


def _add_event(body: Body, chunks: list[Chunk], event: ServerSentEvent) -> None:
    value, problem = decode_whole_json(event.data.encode("utf-8", "replace"))
    if problem:
        body.problems.append(f"stream event at byte {event.offset}: {problem}")
    name = "" if event.event == "message" else event.event
    if isinstance(value, dict):
        chunks.append(Chunk(event.offset, name, value))
    elif name == "error":
        # Some servers write the error as bare text.
        chunks.append(Chunk(event.offset, name, {"error": event.data}))
    elif isinstance(value, list) and value:
        chunks.append(Chunk(event.offset, name, record(value[0])))


def _array_chunks(data: bytes) -> list[Chunk]:
    return [
        Chunk(item.offset, "", record(decode_json(item.data)[0]))
        for item in _json_texts(data)
        if isinstance(item, JsonText)
    ]


def _json_texts(data: bytes) -> Iterator[JsonText | Malformed]:
    parser = JsonStreamParser(max_value_bytes=_MAX_BYTES)
    yield from parser.feed(data)
    yield from parser.close()


def _read_json_stream(data: bytes) -> Body:
    """Lines, or an array whose end is missing."""
    body = Body(chunks=[])
    assert body.chunks is not None
    for item in _json_texts(data):
        raw = item.data if isinstance(item, JsonText) else _slice(data, item)
        value, problem = decode_whole_json(raw)
        if problem:
            body.problems.append(f"stream value at byte {item.offset}: {problem}")
        if isinstance(value, dict):
            body.chunks.append(Chunk(item.offset, "", value))
        elif not body.chunks:
            # The first line is no object: one document that is cut, or no JSON at all.
            body.chunks = None
            return body
    return body


def _slice(data: bytes, item: Malformed) -> bytes:
    return data[item.offset : item.offset + item.length]


def _read_event_stream(data: bytes) -> Body:
    body = Body(chunks=[])
    assert body.chunks is not None
    parser = EventStreamParser()
    for message in (*parser.feed(data), *parser.close()):
        if isinstance(message, Malformed):
            body.problems.append(f"event stream: {message.reason} at byte {message.offset}")
            continue
        value, problem = decode_whole_json(message.payload) if message.payload else ({}, "")
        if problem:
            body.problems.append(f"event at byte {message.offset}: {problem}")
        body.chunks.append(_aws_chunk(message, record(value), body))
    return body


def _aws_chunk(message: EventStreamMessage, value: dict[str, object], body: Body) -> Chunk:
    """Return a message of an AWS event stream; an exception becomes an event called error.

    `chunk` events of InvokeModelWithResponseStream hold the model's own JSON in base64.
    """
    if message.header(":message-type") in {"exception", "error"}:
        name = message.header(":exception-type") or message.header(":error-code")
        words = text(value.get("message")) or message.header(":error-message")
        return Chunk(message.offset, "error", {"error": {"code": name, "message": words}})
    encoded = text(value.get("bytes"))
    if not encoded:
        return Chunk(message.offset, message.header(":event-type"), value)
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        body.problems.append(f"chunk at byte {message.offset}: not base64: {error}")
        return Chunk(message.offset, "chunk", {})
    inner, problem = decode_whole_json(raw)
    if problem:
        body.problems.append(f"chunk at byte {message.offset}: {problem}")
    return Chunk(message.offset, "chunk", record(inner))
