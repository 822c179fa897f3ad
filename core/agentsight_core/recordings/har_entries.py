"""One entry of a HAR as HTTP messages at the times that it gives."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import SplitResult, urlsplit

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
from agentsight_core.recordings.har_bodies import Body, request_body, response_body
from agentsight_core.recordings.har_fields import Json, headers, number, objects, text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A host, masked or not, perhaps with a port, before a path.
_BARE_HOST = re.compile(r"[^/:?#]+(:\d+)?/")
_FRACTION = re.compile(r"\.(\d{7,9})\d*")


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


def read_entry(raw: object) -> Entry:
    """Return what one item of log.entries says; raise MalformedEntryError if it cannot be used."""
    entry = _object(raw, "entry")
    request = _object(entry.get("request"), "request")
    response = _object(entry.get("response"), "response")
    method, parts = text(request, "method"), _url(request)
    if not method:
        raise MalformedEntryError("request.method is needed")
    start_ns = _start_ns(entry)
    sent_ns, answered_ns, end_ns = _times(entry, start_ns)
    host = parts.netloc.rpartition("@")[2]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    status = _status(response)
    asked, answered = request_body(request), response_body(response, status)
    messages: list[HttpMessage] = [
        RequestStarted(0, start_ns, method.upper(), target, "1.1", _request_headers(request, host))
    ]
    messages += _part(pb.DIRECTION_REQUEST, asked, sent_ns)
    if status:
        messages.append(ResponseStarted(0, answered_ns, status, _response_headers(response)))
        messages += _part(pb.DIRECTION_RESPONSE, answered, answered_ns)
    failure = _failure(entry, response, status)
    messages.append(_finished(failure, asked, answered, sent_ns, end_ns))
    return Entry(
        start_ns=start_ns,
        end_ns=end_ns,
        page=text(entry, "pageref"),
        agent_name=_agent_name(request),
        scheme=parts.scheme,
        authority=host,
        peer_address=text(entry, "serverIPAddress").strip("[]"),
        messages=tuple(messages),
        losses=_losses(entry),
    )


def _object(value: object, key: str) -> Json:
    if not isinstance(value, dict):
        raise MalformedEntryError(f"{key} is no object")
    return value


def _url(request: Json) -> SplitResult:
    """Return the URL; recorders that mask hosts leave no scheme, others write the path alone."""
    written = text(request, "url").strip()
    if written.startswith("/"):
        written = _authority(request) + written
    if _BARE_HOST.match(written):
        written = "https://" + written
    try:
        parts = urlsplit(written)
    except ValueError:
        raise MalformedEntryError("request.url is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise MalformedEntryError("request.url is no URL of http or https")
    return parts


def _authority(request: Json) -> str:
    """Return the host from the headers, also from the pseudo-header of HTTP/2."""
    named = {
        text(item, "name").lower(): text(item, "value") for item in objects(request, "headers")
    }
    return named.get(":authority") or named.get("host", "")


def _status(response: Json) -> int:
    status = response.get("status")
    if isinstance(status, str) and status.isascii() and status.isdigit():
        status = int(status[:4])
    if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= 999:
        raise MalformedEntryError("response.status is no HTTP status")
    return status


# ---- times ----


def _start_ns(entry: Json) -> int:
    """Return startedDateTime (ISO 8601) to its last digit; without a zone it is taken as UTC."""
    written = text(entry, "startedDateTime").strip()
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
    sent = sum(number(timings, key) for key in ("blocked", "dns", "connect", "send"))
    answered = sent + number(timings, "wait")
    total = number(entry, "time") or answered + number(timings, "receive")
    return (
        start_ns + _ns(min(sent, total)),
        start_ns + _ns(min(answered, total)),
        start_ns + _ns(total),
    )


def _ns(milliseconds: float) -> int:
    return round(min(milliseconds, 1e12) * 1_000_000)


# ---- heads ----


def _with_type(head: list[tuple[str, str]], content: object) -> Headers:
    """Add the content type that HAR has beside the body, if the headers lack it."""
    mime = text(content, "mimeType") if isinstance(content, dict) else ""
    if mime and all(name != "content-type" for name, _ in head):
        head = [*head, ("content-type", mime)]
    return tuple(head)


def _request_headers(request: Json, host: str) -> Headers:
    """Put the host of the URL for the Host header: a proxy may have seen another one."""
    others = [(name, value) for name, value in headers(request) if name != "host"]
    return _with_type([("host", host), *others], request.get("postData"))


def _response_headers(response: Json) -> Headers:
    return _with_type(headers(response), response.get("content"))


def _agent_name(request: Json) -> str:
    """Return claude-cli for "claude-cli/2.0 (external, cli)"; every browser says Mozilla."""
    agent = next((value for name, value in headers(request) if name == "user-agent"), "")
    name = agent.partition("/")[0].strip()
    return "" if name == "Mozilla" or len(name) > 64 else name


def _part(direction: pb.Direction, body: Body, time_ns: int) -> list[HttpMessage]:
    return [BodyPart(0, direction, body.data, (0,), (time_ns,))] if body.data else []


# ---- ends ----


def _failure(entry: Json, response: Json, status: int) -> str:
    """Return why no answer or no whole answer came, in the exporter's words; "" if one did."""
    words = text(response, "_error") or text(entry, "_error") or text(response, "_errorText")
    if status:
        return "" if words == "net::OK" else words
    return words or text(response, "statusText") or "no response arrived"


def _finished(
    failure: str, request: Body, response: Body, sent_ns: int, end_ns: int
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
