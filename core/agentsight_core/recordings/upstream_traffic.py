"""HTTP connections out of upstream AgentSight's TLS records, which name none: only pid and tid.

A request that begins while another one of the thread is under way is on another connection. Where
two answers of one thread arrive at the same time, nobody can tell their bytes apart: the parser
then marks the exchange as malformed. Must not read JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsight_core.ids import digest
from agentsight_core.parsers.http1 import HttpConnection
from agentsight_core.parsers.http_events import Origin, to_events
from agentsight_core.parsers.messages import (
    ExchangeFinished,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
)
from agentsight_core.pb import events_pb2 as pb

_METHODS = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE")
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_STREAM_ENDS = (b"event: message_stop", b"event: error", b"data: [DONE]", b"response.completed")


@dataclass(slots=True)
class _Connection:
    parser: HttpConnection
    origin: Origin
    # Requests without the end of their response.
    open: int = 0
    # Requests without the beginning of their response.
    unanswered: int = 0
    # The current response comes in chunks.
    chunked: bool = False


@dataclass(slots=True)
class Thread:
    """The TLS traffic of one thread; times are those of the recording."""

    session: int
    pid: int
    tid: int
    _connections: list[_Connection] = field(default_factory=list)
    # By `written`: the connection that the last record of this direction belonged to.
    _latest: dict[bool, _Connection] = field(default_factory=dict)
    _made: int = 0

    def feed(self, written: bool, data: bytes, time_ns: int, *, missing: int = 0) -> list[pb.Event]:
        """Take the next record; `missing` bytes behind `data` were not captured."""
        connection = self._choose(written, data)
        self._latest[written] = connection
        messages = connection.parser.feed(written, data, (0,), (time_ns,)) if data else []
        if missing:
            messages += connection.parser.feed(written, b"", (), (), lost=missing)
        return self._take(connection, messages)

    def feed_stream(self, pieces: list[bytes], first_ns: int, last_ns: int) -> list[pb.Event]:
        """Take merged server-sent events: the first came at `first_ns`, all others by `last_ns`."""
        if not pieces:
            return []
        connection = self._latest.get(False) or self._open()
        events: list[pb.Event] = []
        if connection.unanswered:
            # The collector merges a head that comes with the first events into them.
            events += self.feed(False, _STREAM_HEAD, first_ns)
        ended = any(mark in pieces[-1] for mark in _STREAM_ENDS)
        for position, piece in enumerate(pieces):
            data = b"%x\r\n%b\r\n" % (len(piece), piece) if connection.chunked else piece
            events += self.feed(False, data, last_ns if position else first_ns)
        if ended and connection.chunked:
            events += self.feed(False, b"0\r\n\r\n", last_ns)
        return events

    def close(self, now_ns: int) -> list[pb.Event]:
        """Return what can be said when the recording has ended."""
        return [
            event
            for connection in self._connections
            for message in connection.parser.close(now_ns, pb.HTTP_OUTCOME_UNFINISHED)
            for event in to_events(message, connection.origin)
        ]

    def _choose(self, written: bool, data: bytes) -> _Connection:
        if begins_request(data):
            idle = next((item for item in self._connections if not item.open), None)
            chosen = idle or self._open()
            # The answer comes in the other direction; until it begins, nothing else does.
            self._latest[not written] = chosen
            return chosen
        if data.startswith(b"HTTP/1."):
            waiting = next((item for item in self._connections if item.unanswered), None)
            if waiting is not None:
                return waiting
        return self._latest.get(written) or self._open()

    def _open(self) -> _Connection:
        number = digest("connection", self.session, self.pid, self.tid, self._made, size=8)
        self._made += 1
        origin = Origin(
            connection=int.from_bytes(number, "big"),
            session=self.session,
            pid=self.pid,
            tid=self.tid,
        )
        connection = _Connection(HttpConnection(), origin)
        self._connections.append(connection)
        return connection

    def _take(self, connection: _Connection, messages: list[HttpMessage]) -> list[pb.Event]:
        events: list[pb.Event] = []
        for message in messages:
            if isinstance(message, RequestStarted):
                connection.open += 1
                connection.unanswered += 1
            elif isinstance(message, ResponseStarted):
                connection.unanswered -= 1
                connection.chunked = ("transfer-encoding", "chunked") in message.headers
            elif isinstance(message, ExchangeFinished):
                connection.open -= 1
                connection.unanswered = min(connection.unanswered, connection.open)
            events += to_events(message, connection.origin)
        return events


def begins_request(data: bytes) -> bool:
    """Tell whether `data` begins with the start line of an HTTP/1 request."""
    method, _, rest = data[:4096].partition(b" ")
    return method in _METHODS and b" HTTP/1." in rest.partition(b"\n")[0]
