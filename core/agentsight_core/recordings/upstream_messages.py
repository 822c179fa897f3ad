"""HTTP messages that upstream AgentSight has parsed already, as the bytes that they were.

`http_parser` events carry a head and a body; `sse_processor` events the merged events of a stream.
Must not know connections or times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agentsight_core.recordings.upstream_text import LineError, payload, plain_text

_CHUNK_HEAD = re.compile(rb"[0-9a-fA-F]{1,8}[ \t]*(;[^\r\n]*)?\r\n")
_GZIP_MAGIC = b"\x1f\x8b"


def is_message(data: Mapping[str, object]) -> bool:
    """Tell whether `data` of an event is a parsed HTTP message."""
    kind = data.get("message_type")
    return isinstance(kind, str) and kind in {"request", "response"}


def wire_bytes(data: Mapping[str, object]) -> bytes:
    """Return the message as HTTP/1.1 bytes; LineError names the field that is not as it must be.

    With `raw_data` these are the bytes of the record that began the message, and further ones may
    follow. Without, head and body are put together; where the body was freed of its codings, the
    head is made to say so.
    """
    raw = data.get("raw_data")
    if isinstance(raw, str) and raw:
        return payload(raw, None)
    text = data.get("body")
    body = payload(text, _length(data)) if isinstance(text, str) else b""
    headers = _headers(data)
    _describe_body(headers, body, data)
    lines = [_start_line(data), *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1", "replace") + body


def stream_bytes(data: Mapping[str, object]) -> list[bytes]:
    """Return the server-sent events of an `sse_processor` event, each as on the wire."""
    items = data.get("sse_events")
    if not isinstance(items, list):
        raise LineError("data.sse_events must be a list")
    pieces: list[bytes] = []
    for item in items:
        if not isinstance(item, dict):
            raise LineError("data.sse_events must hold objects")
        name, text = item.get("event"), item.get("data")
        lines = [f"event: {plain_text(name)}"] if isinstance(name, str) else []
        if isinstance(text, str):
            lines += [f"data: {line}" for line in plain_text(text).split("\n")]
        pieces.append(("\n".join(lines) + "\n\n").encode())
    return pieces


def _start_line(data: Mapping[str, object]) -> str:
    first = data.get("first_line")
    if isinstance(first, str) and first:
        return plain_text(first)
    if data["message_type"] == "response":
        status = data.get("status_code")
        if not isinstance(status, int):
            raise LineError("data.status_code must be a number")
        return f"HTTP/1.1 {status} {data.get('status_text') or ''}"
    method, path = data.get("method"), data.get("path")
    if not isinstance(method, str) or not isinstance(path, str):
        raise LineError("data.method and data.path must be texts")
    return f"{method} {path} HTTP/1.1"


def _headers(data: Mapping[str, object]) -> dict[str, str]:
    headers = data.get("headers") or {}
    if not isinstance(headers, dict):
        raise LineError("data.headers must be an object")
    clean = {}
    for name, value in headers.items():
        line = plain_text(str(value)).replace("\r", " ").replace("\n", " ")
        clean[str(name).lower()] = line
    return clean


def _length(data: Mapping[str, object]) -> int | None:
    length = data.get("content_length")
    return length if isinstance(length, int) else None


def _describe_body(headers: dict[str, str], body: bytes, data: Mapping[str, object]) -> None:
    """Make the framing headers true for `body`."""
    if "content-encoding" in headers and not body.startswith(_GZIP_MAGIC):
        # The collector keeps text: a body that is not gzip any more was decoded.
        del headers["content-encoding"]
        headers.pop("content-length", None)
    if "chunked" in headers.get("transfer-encoding", "").lower():
        if not body or _CHUNK_HEAD.match(body):
            return  # framed as it was; more may follow
        del headers["transfer-encoding"]
    if data["message_type"] == "response" and not body and _is_stream(headers):
        headers["transfer-encoding"] = "chunked"  # its events follow
        return
    declared = headers.get("content-length", "")
    if not declared.isdecimal() or int(declared) < len(body):
        headers["content-length"] = str(len(body))


def _is_stream(headers: Mapping[str, str]) -> bool:
    return "text/event-stream" in headers.get("content-type", "")
