"""Bodies of a HAR as bytes.

Exporters differ most here: plain text, base64, text whose content coding is still on, or nothing at
all although there was a body. What is missing is said, never invented.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from urllib.parse import urlencode

from agentsight_core.parsers.codings import ContentDecoder
from agentsight_core.recordings.har_fields import Json, headers, number, objects, text

Pairs = list[tuple[str, str]]

# Of one body after decoding; a bomb's rest is cut and marked.
_MAX_BODY_BYTES = 256 * 1024 * 1024
# First bytes of gzip, zstd and zlib streams; brotli has none.
_MARKS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x78\x01": "deflate",
    b"\x78\x9c": "deflate",
    b"\x78\xda": "deflate",
}
_EVENT_STREAM = "vnd.amazon.eventstream"
# What gzip, zstd and AWS event streams begin with in base64, for exporters that do not say it is.
_BASE64_MARKS = ("H4sI", "KLUv/", "AAA")


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a body, content coding undone."""

    data: bytes = b""
    # What is wrong with it, "" if nothing.
    problem: str = ""
    missing_bytes: int = 0


def request_body(request: Json) -> Body:
    """Return the body of `request`: postData as text, as base64 or as form parameters."""
    post = request.get("postData")
    if not isinstance(post, dict):
        size = int(number(request, "bodySize"))
        return _missing("request", size)
    return _decode_body(post, headers(request), "request") if "text" in post else _form(post)


def _form(post: Json) -> Body:
    pairs = [(text(param, "name"), text(param, "value")) for param in objects(post, "params")]
    return Body(urlencode(pairs).encode())


def response_body(response: Json, status: int) -> Body:
    """Return the body of `response`; a size without text is a body that was not recorded."""
    content = response.get("content")
    fields: Json = content if isinstance(content, dict) else {}
    if text(fields, "text"):
        return _decode_body(fields, headers(response), "response")
    size = int(number(fields, "size"))
    return _missing("response", 0 if status in (0, 204, 304) else size)


def _missing(side: str, size: int) -> Body:
    if not size:
        return Body()
    return Body(problem=f"the recording lacks the {side} body", missing_bytes=size)


def _decode_body(fields: Json, head: Pairs, side: str) -> Body:
    """Return the bytes of `text`; `encoding` is base64, for requests too in some exporters."""
    written = text(fields, "text")
    encoding = text(fields, "encoding") or text(fields, "_encoding")
    coded = bool(_codings(head)) or _EVENT_STREAM in text(fields, "mimeType")
    unmarked = coded and written.startswith(_BASE64_MARKS)
    if encoding.lower() == "base64" or unmarked:
        try:
            data = b"".join(
                base64.b64decode("".join(piece.split()), validate=True)
                for piece in _pieces(written)
            )
        except (binascii.Error, ValueError, RecursionError):
            return Body(written.encode("utf-8", "replace"), f"the {side} body is not base64")
        return _undo_coding(data, head, side)
    raw = written[:4].encode("latin-1", "replace")
    if raw.startswith(b"\0") or (raw.startswith(tuple(_MARKS)) and _codings(head)):
        # Bytes that an exporter has put into a string one by one.
        return _undo_coding(written.encode("latin-1", "replace"), head, side)
    return Body(written.encode("utf-8", "replace"))


def _pieces(written: str) -> list[str]:
    """Return the parts that are base64 each: Polly.js writes a JSON array of network chunks."""
    if not written.startswith('["'):
        return [written]
    pieces = json.loads(written)
    return [piece for piece in pieces if isinstance(piece, str)]


def _codings(head: Pairs) -> list[str]:
    values = [value for name, value in head if name == "content-encoding"]
    return [coding.strip().lower() for value in values for coding in value.split(",")]


def _undo_coding(data: bytes, head: Pairs, side: str) -> Body:
    """Undo the content coding if it is still on: HAR asks for decoded bodies, not all obey."""
    codings = [coding for coding in _codings(head) if coding not in ("", "identity")]
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if not marked and codings != ["br"]:
        return Body(data)
    if marked and marked not in codings:
        codings = [marked]
    decoder = ContentDecoder(codings, _MAX_BODY_BYTES)
    decoded, _ = decoder.decode(data, (0,), (0,))
    if decoder.error:
        # Brotli has no mark: what is no brotli is taken to be decoded already.
        problem = f"the {side} body: {decoder.error}" if marked else ""
        return Body(data, problem)
    if decoder.truncated:
        return Body(decoded, f"the {side} body is cut at the configured cap")
    return Body(decoded, f"the {side} body ends early" if decoder.ended_early else "")
