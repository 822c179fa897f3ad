"""One entry of a HAR as HTTP messages.

Exporters differ most in bodies: plain text, base64, text whose content coding is still on, or
nothing at all although there was one. What is missing is said, never invented.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

from agentsight_core.parsers.codings import ContentDecoder
from agentsight_core.parsers.http_events import Origin
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    Headers,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
)
from agentsight_core.pb import events_pb2 as pb

# Of one body after decoding; a bomb's rest is cut and marked.
_MAX_BODY_BYTES = 256 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# First bytes of gzip, zstd and zlib streams; brotli has none.
_MARKS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x78\x01": "deflate",
    b"\x78\x9c": "deflate",
    b"\x78\xda": "deflate",
}
# What gzip and zstd streams begin with in base64, for exporters that do not say they use it.
_BASE64_MARKS = ("H4sI", "KLUv/")
_FRACTION = re.compile(r"\.(\d{7,9})\d*")

Json = Mapping[str, object]


class MalformedEntryError(Exception):
    """An entry lacks what cannot be done without; the message is the key and what it should be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and its answer; times are Unix ns."""

    start_ns: int
    end_ns: int
    # The page of a browser's recording, "" for a proxy's.
    page: str
    # The product in the User-Agent header; "" for browsers and unknown ones.
    agent_name: str
    scheme: str
    authority: str
    peer_address: str
    messages: tuple[HttpMessage, ...]
    losses: list[tuple[str, int]] = field(default_factory=list)

    def origin(self, *, connection: int, session: int) -> Origin:
        """Return where the entry's messages come from."""
        return Origin(
            connection=connection,
            session=session,
            pid=0,
            scheme=self.scheme,
            authority=self.authority,
            peer_address=self.peer_address,
        )


@dataclass(frozen=True, slots=True)
class _Body:
    data: bytes = b""
    # What is wrong with it, "" if nothing.
    problem: str = ""
    missing_bytes: int = 0


def read_entry(raw: object) -> Entry:
    """Return what one item of log.entries says; raise MalformedEntryError if it cannot be used."""
    entry = _object(raw, "entry")
    request = _object(entry.get("request"), "request")
    response = _object(entry.get("response"), "response")
    method, url = _text(request, "method"), _text(request, "url")
    parts = urlsplit(url)
    if not method or parts.scheme not in ("http", "https") or not parts.netloc:
        raise MalformedEntryError("request.url and request.method are needed")
    start_ns = _start_ns(entry)
    sent_ns, answered_ns, end_ns = _times(entry, start_ns)
    host = parts.netloc.rpartition("@")[2]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    status = _status(response)
    request_body = _request_body(request)
    response_body = _response_body(response, status)
    messages: list[HttpMessage] = [
        RequestStarted(0, start_ns, method.upper(), target, "1.1", _request_headers(request, host))
    ]
    messages += _part(pb.DIRECTION_REQUEST, request_body, sent_ns)
    if status:
        messages.append(ResponseStarted(0, answered_ns, status, _response_headers(response)))
        messages += _part(pb.DIRECTION_RESPONSE, response_body, answered_ns)
    failure = _failure(entry, response, status)
    messages.append(_finished(failure, request_body, response_body, sent_ns, end_ns))
    return Entry(
        start_ns=start_ns,
        end_ns=end_ns,
        page=_text(entry, "pageref"),
        agent_name=_agent_name(request),
        scheme=parts.scheme,
        authority=host,
        peer_address=_text(entry, "serverIPAddress").strip("[]"),
        messages=tuple(messages),
        losses=_losses(entry),
    )


def _object(value: object, key: str) -> Json:
    if not isinstance(value, dict):
        raise MalformedEntryError(f"{key} is no object")
    return value


def _text(fields: Json, key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _number(fields: Json, key: str) -> float:
    """Return a number ≥ 0; -1 is HAR's word for "does not apply"."""
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < math.inf else 0.0


def _status(response: Json) -> int:
    status = response.get("status")
    if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= 999:
        raise MalformedEntryError("response.status is no HTTP status")
    return status


# ---- times ----


def _start_ns(entry: Json) -> int:
    """Return startedDateTime (ISO 8601) to its last digit; without a zone it is taken as UTC."""
    written = _text(entry, "startedDateTime").strip()
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise MalformedEntryError("startedDateTime is no ISO 8601 time") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    start_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    finer = _FRACTION.search(written)
    if finer:
        start_ns += int(finer[1][6:].ljust(3, "0"))
    if not 0 < start_ns < 2**63:
        raise MalformedEntryError("startedDateTime is before 1970")
    return start_ns


def _times(entry: Json, start_ns: int) -> tuple[int, int, int]:
    """Return when the request was sent, the answer began and the exchange ended.

    `connect` includes `ssl` (HAR 1.2), so that is not added.
    """
    raw = entry.get("timings")
    timings: Json = raw if isinstance(raw, dict) else {}
    sent = sum(_number(timings, key) for key in ("blocked", "dns", "connect", "send"))
    answered = sent + _number(timings, "wait")
    total = _number(entry, "time") or answered + _number(timings, "receive")
    return (
        start_ns + _ns(min(sent, total)),
        start_ns + _ns(min(answered, total)),
        start_ns + _ns(total),
    )


def _ns(milliseconds: float) -> int:
    return round(min(milliseconds, 1e12) * 1_000_000)


# ---- heads ----


def _headers(message: Json) -> list[tuple[str, str]]:
    """Return the headers in lower case, without the pseudo-headers of HTTP/2."""
    items = message.get("headers")
    found = []
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict):
            name = _text(item, "name").strip().lower()
            if name and not name.startswith(":"):
                found.append((name, _text(item, "value")))
    return found


def _with_type(headers: list[tuple[str, str]], content: object) -> Headers:
    """Add the content type that HAR has beside the body, if the headers lack it."""
    mime = _text(content, "mimeType") if isinstance(content, dict) else ""
    if mime and all(name != "content-type" for name, _ in headers):
        headers = [*headers, ("content-type", mime)]
    return tuple(headers)


def _request_headers(request: Json, host: str) -> Headers:
    """Put the host of the URL for the Host header: a proxy may have seen another one."""
    others = [(name, value) for name, value in _headers(request) if name != "host"]
    return _with_type([("host", host), *others], request.get("postData"))


def _response_headers(response: Json) -> Headers:
    return _with_type(_headers(response), response.get("content"))


def _agent_name(request: Json) -> str:
    """Return claude-cli for "claude-cli/2.0 (external, cli)"; every browser says Mozilla."""
    agent = next((value for name, value in _headers(request) if name == "user-agent"), "")
    name = agent.partition("/")[0].strip()
    return "" if name == "Mozilla" or len(name) > 64 else name


# ---- bodies ----


def _request_body(request: Json) -> _Body:
    post = request.get("postData")
    if not isinstance(post, dict):
        size = int(_number(request, "bodySize"))
        return _missing("request", size)
    return _decode_body(post, _headers(request), "request") if "text" in post else _form(post)


def _form(post: Json) -> _Body:
    params = post.get("params")
    pairs = [
        (_text(param, "name"), _text(param, "value"))
        for param in (params if isinstance(params, list) else [])
        if isinstance(param, dict)
    ]
    return _Body(urlencode(pairs).encode())


def _response_body(response: Json, status: int) -> _Body:
    content = response.get("content")
    fields: Json = content if isinstance(content, dict) else {}
    if _text(fields, "text"):
        return _decode_body(fields, _headers(response), "response")
    size = int(_number(fields, "size"))
    return _missing("response", 0 if status in (0, 204, 304) else size)


def _missing(side: str, size: int) -> _Body:
    if not size:
        return _Body()
    return _Body(problem=f"the recording lacks the {side} body", missing_bytes=size)


def _decode_body(fields: Json, headers: list[tuple[str, str]], side: str) -> _Body:
    """Return the bytes of `text`; `encoding` is base64, for requests too in some exporters."""
    text = _text(fields, "text")
    encoding = _text(fields, "encoding") or _text(fields, "_encoding")
    unmarked = text.startswith(_BASE64_MARKS) and bool(_codings(headers))
    if encoding.lower() == "base64" or unmarked:
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            return _Body(text.encode("utf-8", "replace"), f"the {side} body is not base64")
        return _undo_coding(data, headers, side)
    raw = text[:4].encode("latin-1", "replace")
    if raw.startswith(b"\0") or (raw.startswith(tuple(_MARKS)) and _codings(headers)):
        # Bytes that an exporter has put into a string one by one.
        return _undo_coding(text.encode("latin-1", "replace"), headers, side)
    return _Body(text.encode("utf-8", "replace"))


def _codings(headers: list[tuple[str, str]]) -> list[str]:
    values = [value for name, value in headers if name == "content-encoding"]
    return [coding.strip().lower() for value in values for coding in value.split(",")]


def _undo_coding(data: bytes, headers: list[tuple[str, str]], side: str) -> _Body:
    """Undo the content coding if it is still on: HAR asks for decoded bodies, not all obey."""
    codings = [coding for coding in _codings(headers) if coding not in ("", "identity")]
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
    if not marked and codings != ["br"]:
        return _Body(data)
    decoder = ContentDecoder(codings or [marked], _MAX_BODY_BYTES)
    decoded, _ = decoder.decode(data, (0,), (0,))
    if decoder.error:
        # Brotli has no mark: what is no brotli is taken to be decoded already.
        problem = f"the {side} body: {decoder.error}" if marked else ""
        return _Body(data, problem)
    if decoder.truncated:
        return _Body(decoded, f"the {side} body is cut at the configured cap")
    return _Body(decoded, f"the {side} body ends early" if decoder.ended_early else "")


def _part(direction: pb.Direction, body: _Body, time_ns: int) -> list[HttpMessage]:
    return [BodyPart(0, direction, body.data, (0,), (time_ns,))] if body.data else []


# ---- ends ----


def _failure(entry: Json, response: Json, status: int) -> str:
    """Return why no answer or no whole answer came, in the exporter's words; "" if one did."""
    words = _text(response, "_error") or _text(entry, "_error") or _text(response, "_errorText")
    if status:
        return "" if words == "net::OK" else words
    return words or _text(response, "statusText") or "no response arrived"


def _finished(
    failure: str, request: _Body, response: _Body, sent_ns: int, end_ns: int
) -> ExchangeFinished:
    problem = failure or request.problem or response.problem
    outcome = pb.HTTP_OUTCOME_COMPLETE
    if failure:
        outcome = pb.HTTP_OUTCOME_ABORTED
    elif problem:
        outcome = pb.HTTP_OUTCOME_GAP
    return ExchangeFinished(
        exchange=0,
        time_ns=end_ns,
        outcome=outcome,
        error=problem,
        request_bytes=len(request.data),
        response_bytes=len(response.data),
        lost_bytes=request.missing_bytes + response.missing_bytes,
        request_truncated=False,
        response_truncated=False,
        request_end_ns=sent_ns,
    )


def _losses(entry: Json) -> list[tuple[str, int]]:
    """WebSocket messages are an extension of browsers that is not read yet."""
    messages = entry.get("_webSocketMessages")
    if isinstance(messages, list) and messages:
        return [("websocket message", len(messages))]
    return []
