"""Puts HTTP events together to whole exchanges.

Must not read what the bodies mean. Memory is bounded: by the number of open exchanges and by the
sum of their bytes; what is over either bound is closed early, incomplete, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
from agentsight_core.pb import events_pb2 as pb

from agentsight_aggregator.exchange import Exchange, Headers
from agentsight_aggregator.streams.sockets import SocketCall, SocketMessage, SocketState

# (connection, index) of an exchange within its session.
Key = tuple[int, int]

_OUTCOME_PROBLEMS = {
    pb.HTTP_OUTCOME_UNSPECIFIED: "the capture does not say how the exchange ended",
    pb.HTTP_OUTCOME_ABORTED: "the connection closed before the exchange ended",
    pb.HTTP_OUTCOME_MALFORMED: "the bytes broke the protocol",
    pb.HTTP_OUTCOME_GAP: "bytes are missing from the capture",
    pb.HTTP_OUTCOME_UNFINISHED: "the watcher stopped before the exchange ended",
}
# Fixed cost that an open exchange is charged beside its bodies: heads and bookkeeping.
_HEAD_BYTES = 4096
_PIECE_BYTES = 100


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """Bounds of the assembler."""

    max_open: int = 20_000
    max_open_bytes: int = 512 * 1024 * 1024
    # Event time without any event of the exchange. Long: a model may think for minutes.
    idle_ns: int = 30 * 60 * 1_000_000_000


# (authority, target, state, message) → the calls that the message ends.
TakeMessage = Callable[[str, str, SocketState, SocketMessage], list[SocketCall]]
EndCalls = Callable[[SocketState], list[SocketCall]]


class OpenExchange(msgspec.Struct):
    """An exchange whose end was not seen yet; times are Unix ns."""

    pid: int
    start_ns: int
    last_ns: int
    method: str
    scheme: str
    authority: str
    target: str
    headers: Headers
    peer_address: str
    peer_port: int
    request_end_ns: int = 0
    response_start_ns: int = 0
    status: int = 0
    response_headers: Headers = ()
    request: list[bytes] = []
    response: list[bytes] = []
    response_bytes: int = 0
    pieces: list[tuple[int, int]] = []
    held_bytes: int = _HEAD_BYTES
    # What it has become, if it has become a WebSocket.
    socket: SocketState | None = None


class OpenExchanges(msgspec.Struct):
    """The state of the assembler: open exchanges by session, in the order of their requests."""

    open: dict[int, dict[Key, OpenExchange]] = {}
    count: int = 0
    held_bytes: int = 0
    # Events whose request was never seen (the watch began in the middle), by body name.
    orphans: dict[str, int] = {}
    # Exchanges that were closed early because of a bound.
    evicted: int = 0


def _no_calls(*_: object) -> list[SocketCall]:
    return []


class ExchangeAssembler:
    """Takes HTTP events, returns exchanges that have ended; everything else it does not take."""

    def __init__(
        self,
        settings: ExchangeSettings = ExchangeSettings(),
        take_message: TakeMessage = _no_calls,
        end_calls: EndCalls = _no_calls,
    ) -> None:
        """`take_message` and `end_calls` know what is a call within a WebSocket."""
        self._settings = settings
        self._take_message = take_message
        self._end_calls = end_calls
        self.state = OpenExchanges()
        self._steps: dict[str, Callable[[pb.Event], list[Exchange]]] = {
            "http_request_started": self._begin,
            "http_response_started": self._respond,
            "http_body": self._body,
            "http_finished": self._finish,
            "websocket_message": self._message,
        }

    def observe(self, kind: str, event: pb.Event) -> list[Exchange]:
        """Take an HTTP event whose body is called `kind`."""
        return self._steps[kind](event)

    def advance(self, now_ns: int) -> list[Exchange]:
        """Close what had no event for too long."""
        limit = now_ns - self._settings.idle_ns
        closed = []
        for session, items in list(self.state.open.items()):
            # A WebSocket may be silent for as long as it likes.
            idle = [k for k, item in items.items() if item.last_ns <= limit and not item.socket]
            closed += self._close_early(session, idle, "no more events of this exchange came")
        return closed

    def close_session(self, session: int) -> list[Exchange]:
        """Close what the ended `session` left open."""
        keys = list(self.state.open.get(session, ()))
        return self._close_early(session, keys, "the session ended before the exchange did")

    def oldest_start_ns(self, session: int) -> int:
        """Return when the oldest open exchange of `session` began, 0 if none is open."""
        starts: list[int] = []
        for item in self.state.open.get(session, {}).values():
            calls = item.socket.calls if item.socket else None
            starts += [item.start_ns] if calls is None else [call.start_ns for call in calls]
        return min(starts, default=0)

    def _begin(self, event: pb.Event) -> list[Exchange]:
        head = event.http_request_started
        session, key = event.session, (head.connection, head.exchange)
        items = self.state.open.get(session, {})
        closed = self._close_early(session, [key] if key in items else [], "began a second time")
        self.state.open.setdefault(session, {})[key] = OpenExchange(
            pid=event.pid,
            start_ns=event.wall_ns,
            last_ns=event.wall_ns,
            method=head.method,
            scheme=head.scheme,
            authority=head.authority,
            target=head.target,
            headers=_headers(head.headers),
            peer_address=head.peer_address,
            peer_port=head.peer_port,
        )
        self.state.count += 1
        self.state.held_bytes += _HEAD_BYTES
        return closed + self._keep_bounds(session)

    def _respond(self, event: pb.Event) -> list[Exchange]:
        head = event.http_response_started
        item = self._find("http_response_started", event, head.connection, head.exchange)
        if item is not None:
            item.response_start_ns = event.wall_ns
            item.status = head.status
            item.response_headers = _headers(head.headers)
            if _has_upgraded(item):
                item.socket = SocketState()
        return []

    def _message(self, event: pb.Event) -> list[Exchange]:
        part = event.websocket_message
        item = self._find("websocket_message", event, part.connection, part.exchange)
        if item is None:
            return []
        socket = item.socket = item.socket or SocketState()
        before = socket.held_bytes
        message = socket.join(event)
        calls: list[SocketCall] = []
        if message is not None:
            calls = self._take_message(item.authority, item.target, socket, message)
        grown = socket.held_bytes - before
        item.held_bytes += grown
        self.state.held_bytes += grown
        key = (part.connection, part.exchange)
        ended = [_call(event.session, key, item, call) for call in calls]
        return ended + self._keep_bounds(event.session)

    def _body(self, event: pb.Event) -> list[Exchange]:
        body = event.http_body
        item = self._find("http_body", event, body.connection, body.exchange)
        if item is None:
            return []
        data = body.data
        size = len(data) + _PIECE_BYTES * len(body.piece_offsets)
        item.held_bytes += size
        self.state.held_bytes += size
        if body.direction == pb.DIRECTION_REQUEST:
            item.request.append(data)
            return self._keep_bounds(event.session)
        to_wall_ns = event.wall_ns - event.boot_ns
        for offset, boot_ns in zip(body.piece_offsets, body.piece_boot_ns, strict=False):
            item.pieces.append((item.response_bytes + offset, boot_ns + to_wall_ns))
        if not body.piece_offsets:
            item.pieces.append((item.response_bytes, event.wall_ns))
        item.response.append(data)
        item.response_bytes += len(data)
        return self._keep_bounds(event.session)

    def _finish(self, event: pb.Event) -> list[Exchange]:
        end = event.http_finished
        item = self._find("http_finished", event, end.connection, end.exchange)
        if item is None:
            return []
        if end.request_end_boot_ns:
            item.request_end_ns = end.request_end_boot_ns + event.wall_ns - event.boot_ns
        key = (end.connection, end.exchange)
        self._forget(event.session, key)
        whole = _exchange(event.session, key, item, event.wall_ns, _problem(end))
        return [*self._unfinished_calls(event.session, key, item), whole]

    def _find(self, kind: str, event: pb.Event, connection: int, index: int) -> OpenExchange | None:
        item = self.state.open.get(event.session, {}).get((connection, index))
        if item is None:
            self.state.orphans[kind] = self.state.orphans.get(kind, 0) + 1
        else:
            item.last_ns = max(item.last_ns, event.wall_ns)
        return item

    def _keep_bounds(self, session: int) -> list[Exchange]:
        """Close the oldest of `session` while there is too much: who brings it, pays for it."""
        closed: list[Exchange] = []
        while session in self.state.open and (
            self.state.count > self._settings.max_open
            or self.state.held_bytes > self._settings.max_open_bytes
        ):
            self.state.evicted += 1
            oldest = next(iter(self.state.open[session]))
            closed += self._close_early(session, [oldest], "closed early: too much is open at once")
        return closed

    def _close_early(self, session: int, keys: Iterable[Key], why: str) -> list[Exchange]:
        closed = []
        for key in keys:
            item = self.state.open[session][key]
            self._forget(session, key)
            closed += self._unfinished_calls(session, key, item)
            closed.append(_exchange(session, key, item, item.last_ns, why))
        return closed

    def _unfinished_calls(self, session: int, key: Key, item: OpenExchange) -> list[Exchange]:
        calls = self._end_calls(item.socket) if item.socket else []
        return [_call(session, key, item, call) for call in calls]

    def _forget(self, session: int, key: Key) -> None:
        items = self.state.open[session]
        self.state.held_bytes -= items.pop(key).held_bytes
        self.state.count -= 1
        if not items:
            del self.state.open[session]


def _exchange(session: int, key: Key, item: OpenExchange, end_ns: int, problem: str) -> Exchange:
    return Exchange(
        session=session,
        pid=item.pid,
        connection=key[0],
        index=key[1],
        start_ns=item.start_ns,
        request_end_ns=item.request_end_ns,
        response_start_ns=item.response_start_ns,
        end_ns=max(end_ns, item.start_ns),
        method=item.method,
        scheme=item.scheme,
        authority=item.authority,
        target=item.target,
        request_headers=item.headers,
        request_body=b"".join(item.request),
        status=item.status,
        response_headers=item.response_headers,
        response_body=b"".join(item.response),
        response_pieces=tuple(item.pieces),
        complete=not problem,
        problem=problem,
        peer_address=item.peer_address,
        peer_port=item.peer_port,
    )


def _call(session: int, key: Key, item: OpenExchange, call: SocketCall) -> Exchange:
    """Return a call within a WebSocket as an exchange of its own."""
    return Exchange(
        session=session,
        pid=item.pid,
        connection=key[0],
        index=key[1],
        start_ns=call.start_ns,
        request_end_ns=call.request_end_ns,
        response_start_ns=call.pieces[0][1] if call.pieces else 0,
        end_ns=max(call.last_ns, call.start_ns),
        method=item.method,
        scheme=item.scheme,
        authority=item.authority,
        target=item.target,
        request_headers=item.headers,
        request_body=call.request,
        status=item.status,
        response_headers=item.response_headers,
        response_body=b"\n".join(call.answer),
        response_pieces=tuple(call.pieces),
        complete=not call.problem,
        problem=call.problem,
        is_websocket=True,
        peer_address=item.peer_address,
        peer_port=item.peer_port,
    )


def _has_upgraded(item: OpenExchange) -> bool:
    """Whether the response has made the exchange a WebSocket (RFC 6455; RFC 8441 over HTTP/2)."""
    asked = any(
        name in ("upgrade", ":protocol") and value.lower() == "websocket"
        for name, value in item.headers
    )
    return asked and item.status in (101, 200)


def _headers(headers: Iterable[pb.Header]) -> Headers:
    return tuple((header.name, header.value) for header in headers)


def _problem(end: pb.HttpFinished) -> str:
    """Return in words what is wrong with the exchange, "" when it is whole."""
    reasons = []
    if end.outcome in _OUTCOME_PROBLEMS:
        reasons.append(end.error or _OUTCOME_PROBLEMS[end.outcome])
    if end.lost_bytes:
        reasons.append(f"{end.lost_bytes} bytes are missing")
    if end.request_truncated:
        reasons.append("the request body is cut at the configured cap")
    if end.response_truncated:
        reasons.append("the response body is cut at the configured cap")
    return "; ".join(reasons)
