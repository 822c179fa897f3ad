"""HTTP messages of one connection as events of the wire schema.

Must not redact, and must not keep state: one message in, its events out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    Headers,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
    WebSocketKind,
    WebSocketMessage,
)
from agentsight_core.parsers.pieces import cut
from agentsight_core.pb import events_pb2 as pb

# Longer body parts become several events, so that a frame can hold any of them.
MAX_BODY_EVENT_BYTES = 256 * 1024
_KINDS = {
    WebSocketKind.TEXT: pb.WEB_SOCKET_KIND_TEXT,
    WebSocketKind.BINARY: pb.WEB_SOCKET_KIND_BINARY,
    WebSocketKind.CLOSE: pb.WEB_SOCKET_KIND_CLOSE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the messages of a connection come from; `wall_offset_ns` is Unix time - boot time."""

    connection: int
    session: int
    pid: int
    tid: int = 0
    wall_offset_ns: int = 0
    scheme: str = "https"
    # For requests without a Host header: the name from the TLS handshake, or "".
    authority: str = ""
    peer_address: str = ""
    peer_port: int = 0


def to_events(message: HttpMessage, origin: Origin) -> list[pb.Event]:
    """Return the events that say what `message` says: one, or several for a long body part."""
    match message:
        case RequestStarted():
            return [_event(origin, message.time_ns, http_request_started=_request(message, origin))]
        case ResponseStarted():
            response = pb.HttpResponseStarted(
                connection=origin.connection,
                exchange=message.exchange,
                status=message.status,
                headers=_headers(message.headers),
            )
            return [_event(origin, message.time_ns, http_response_started=response)]
        case BodyPart():
            return _body(message, origin)
        case WebSocketMessage():
            return _websocket(message, origin)
        case ExchangeFinished():
            return [_event(origin, message.time_ns, http_finished=_finished(message, origin))]
        case _:
            assert_never(message)


def _event(
    origin: Origin,
    time_ns: int,
    *,
    http_request_started: pb.HttpRequestStarted | None = None,
    http_response_started: pb.HttpResponseStarted | None = None,
    http_body: pb.HttpBody | None = None,
    http_finished: pb.HttpFinished | None = None,
    websocket_message: pb.WebSocketMessage | None = None,
) -> pb.Event:
    return pb.Event(
        boot_ns=time_ns,
        wall_ns=time_ns + origin.wall_offset_ns,
        session=origin.session,
        pid=origin.pid,
        tid=origin.tid,
        http_request_started=http_request_started,
        http_response_started=http_response_started,
        http_body=http_body,
        http_finished=http_finished,
        websocket_message=websocket_message,
    )


def _headers(headers: Headers) -> list[pb.Header]:
    return [pb.Header(name=name, value=value) for name, value in headers]


def _request(message: RequestStarted, origin: Origin) -> pb.HttpRequestStarted:
    scheme, authority = _absolute_form(message.target)
    host = next((value for name, value in message.headers if name == "host"), "")
    if message.method == "CONNECT" and not _is_extended_connect(message.headers):
        authority = message.target
    return pb.HttpRequestStarted(
        connection=origin.connection,
        exchange=message.exchange,
        method=message.method,
        target=message.target,
        scheme=scheme or origin.scheme,
        authority=(authority or host or origin.authority).rpartition("@")[2],
        headers=_headers(message.headers),
        version=message.version,
        peer_address=origin.peer_address,
        peer_port=origin.peer_port,
    )


def _is_extended_connect(headers: Headers) -> bool:
    """Whether CONNECT has a path and a Host of its own (RFC 8441)."""
    return any(name == ":protocol" for name, _ in headers)


def _absolute_form(target: str) -> tuple[str, str]:
    """Return scheme and authority of a target as proxies get it (RFC 9112 section 3.2.2), or ""."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return "", ""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    return scheme.lower(), rest[:end]


def _body(message: BodyPart, origin: Origin) -> list[pb.Event]:
    size = len(message.data)
    events = []
    for start in range(0, size, MAX_BODY_EVENT_BYTES):
        end = min(start + MAX_BODY_EVENT_BYTES, size)
        offsets, times_ns = cut(message.offsets, message.times_ns, start, end)
        body = pb.HttpBody(
            connection=origin.connection,
            exchange=message.exchange,
            direction=message.direction,
            data=message.data[start:end],
            piece_offsets=offsets,
            piece_boot_ns=times_ns,
        )
        events.append(_event(origin, times_ns[0], http_body=body))
    return events


def _websocket(message: WebSocketMessage, origin: Origin) -> list[pb.Event]:
    size = len(message.data)
    events = []
    for start in range(0, max(size, 1), MAX_BODY_EVENT_BYTES):
        end = min(start + MAX_BODY_EVENT_BYTES, size)
        part = pb.WebSocketMessage(
            connection=origin.connection,
            exchange=message.exchange,
            direction=message.direction,
            kind=_KINDS[message.kind],
            data=message.data[start:end],
            start_boot_ns=message.start_ns,
            close_code=message.close_code,
            continues=end < size,
            problem=message.problem,
        )
        events.append(_event(origin, message.time_ns, websocket_message=part))
    return events


def _finished(message: ExchangeFinished, origin: Origin) -> pb.HttpFinished:
    return pb.HttpFinished(
        connection=origin.connection,
        exchange=message.exchange,
        outcome=message.outcome,
        error=message.error,
        request_bytes=message.request_bytes,
        response_bytes=message.response_bytes,
        lost_bytes=message.lost_bytes,
        request_truncated=message.request_truncated,
        response_truncated=message.response_truncated,
        request_end_boot_ns=message.request_end_ns,
        trailers=_headers(message.trailers),
        request_messages=message.request_messages,
        response_messages=message.response_messages,
    )
