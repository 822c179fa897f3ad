"""The watched connections: runs of plaintext in, events of HTTP exchanges out.

Decides, from request heads alone, which traffic is an agent's: a process that calls an LLM API is
promoted to a session, a connection of anything else is switched off in the kernel. Must not read
bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agentsight_core.endpoints import Endpoint, find_endpoint, find_socket
from agentsight_core.endpoints.mcp import may_be_mcp
from agentsight_core.parsers.accounts import UNWANTED_BODY, HttpSettings
from agentsight_core.parsers.conversation import Conversation
from agentsight_core.parsers.http_events import Origin, to_events
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    HttpMessage,
    RequestStarted,
    Role,
    WebSocketMessage,
)
from agentsight_core.parsers.websocket import asks_for_websocket
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.bpf.counters import ClassCounters
from agentsight_agent.bpf.records import (
    ConnectionClosed,
    ConnectionOpened,
    PayloadSource,
    TlsDuplex,
    TlsRun,
)
from agentsight_agent.duplex import Turns
from agentsight_agent.hosts import ALL_HOSTS, UNWANTED_HOST, HostFilter
from agentsight_agent.owners import Owners
from agentsight_agent.redact import Redactor
from agentsight_agent.traffic import NOT_WATCHED, SERVER_SIDE, Settled, TrafficAccount, not_http

# An unwatched program may ask for something else (GET /v1/models) before its first LLM call.
_REQUESTS_BEFORE_VERDICT = 4
# A download of a stranger must not fill the ring that sessions need.
_BYTES_BEFORE_VERDICT = 1 << 20
# What clients of LLM APIs send. Where a path alone proves nothing (`/api/chat` of any site), one
# of them has to be there before a program is taken for an agent.
_SDK_HEADERS = frozenset({"anthropic-version", "x-stainless-lang", "x-goog-api-client"})
_NOTHING_LOST: Mapping[bool, int] = {}


class Sessions(Protocol):
    """What the connections need to know about sessions."""

    def session_of(self, pid: int) -> int:
        """Return the session of a process, 0 if it is in none."""
        ...

    def promote(self, pid: int, boot_ns: int) -> list[pb.Event]:
        """Begin a session with `pid` as its root; return the events that say so."""
        ...


class Switches(Protocol):
    """What the kernel side captures of single connections."""

    def mute(self, connection: int) -> None:
        """Capture nothing more of a connection."""
        ...

    def unmute(self, connection: int) -> None:
        """Capture a muted connection again."""
        ...


@dataclass(slots=True)
class _Watched:
    """One connection and what has been decided about it."""

    pid: int
    session: int
    http: Conversation
    peer_address: str = ""
    peer_port: int = 0
    requests: int = 0
    # True: a TCP socket without TLS; of strangers only those to local models are seen.
    is_plain: bool = False
    # Exchanges whose bodies are wanted: LLM calls and MCP. The others give heads only.
    wanted: set[int] = field(default_factory=set)
    # Exchanges of a session, as opposed to those before the promotion.
    exchanges: set[int] = field(default_factory=set)
    # Exchanges with a host that a filter does not want.
    unwanted: set[int] = field(default_factory=set)
    unwanted_requests: int = 0
    muted: str = ""
    settled: Settled = field(default_factory=Settled)

    @property
    def only_unwanted(self) -> bool:
        """True while all requests were to hosts that are not wanted; HTTP/2 may have others."""
        return self.unwanted_requests == self.requests and not self.http.is_http2

    @property
    def is_judged(self) -> bool:
        """Whether it has shown enough of itself."""
        return (
            self.requests >= _REQUESTS_BEFORE_VERDICT or self.http.bytes_in > _BYTES_BEFORE_VERDICT
        )

    def begin_anew(self, session: int, settings: HttpSettings) -> None:
        """Forget the stream so far; its accounts are settled."""
        self.session = session
        self.http = Conversation(settings, is_http2=self.http.is_http2)
        self.muted = ""
        self.settled = Settled()


class Connections:
    """All connections of which bytes have been seen and that are not closed yet."""

    def __init__(
        self,
        sessions: Sessions,
        redactor: Redactor,
        switches: Switches,
        ledger: Ledger,
        settings: HttpSettings,
        *,
        promote: bool = True,
        hosts: HostFilter = ALL_HOSTS,
    ) -> None:
        self._promote = promote
        self._hosts = hosts
        self._sessions = sessions
        self._redactor = redactor
        self._switches = switches
        self._settings = settings
        self._traffic = TrafficAccount(ledger)
        # HTTP messages that the parsers made of it.
        self._messages = ledger.stage("http", "messages")
        self._watched: dict[int, _Watched] = {}
        self._owners = Owners()

    def apply(
        self, settings: HttpSettings, *, promote: bool, hosts: HostFilter = ALL_HOSTS
    ) -> None:
        """Go on with other settings: from the next message, of `hosts` from the next request on."""
        self._promote = promote
        self._hosts = hosts
        self._settings = settings
        for connection in self._watched.values():
            connection.http.change(settings)

    def opened(self, record: ConnectionOpened) -> None:
        """Take note of the peer of a connection; this may come after the first bytes."""
        connection = self._find(record.connection, record.pid, record.session)
        connection.peer_address = record.peer_address
        connection.peer_port = record.peer_port

    def run(self, run: TlsRun, wall_offset_ns: int) -> list[pb.Event]:
        """Take one run of plaintext; return the events that it completes."""
        self._traffic.receive(len(run.data))
        connection = self._find(run.connection, run.pid, run.session)
        connection.is_plain = run.source == PayloadSource.SOCKET
        lost = run.lost_bytes
        if self._is_to_be_read(connection):
            # Find a foothold in the middle of the stream.
            self._forget(connection)
            connection.begin_anew(self._sessions.session_of(run.pid), self._settings)
            lost = -1
        if connection.muted:
            in_session = bool(connection.session)
            self._traffic.leave_unread(connection.muted, len(run.data), in_session=in_session)
            return []
        messages = connection.http.feed(run.written, run.data, run.offsets, run.times_ns, lost=lost)
        events = self._decide(run.connection, connection, messages, wall_offset_ns)
        self._settle(connection)
        self._judge(run.connection, connection)
        return events

    def duplex(self, duplex: TlsDuplex, wall_offset_ns: int) -> list[pb.Event]:
        """Take what both directions carried at the same time."""
        events: list[pb.Event] = []
        turns = Turns(duplex)
        while not self._takes_any_order(turns, duplex.first.connection):
            run = next(turns, None)
            if run is None:
                return events
            events += self.run(run, wall_offset_ns)
        for run in turns.take_rest():
            events += self.run(run, wall_offset_ns)
        return events

    def _takes_any_order(self, turns: Turns, key: int) -> bool:
        """Say whether it is all one which direction is fed first: nobody reads, or bodies only."""
        connection = self._watched.get(key)
        if connection is None:
            return False
        if connection.muted:
            return not self._is_to_be_read(connection)
        return connection.http.takes_any_order(
            turns.rest_bytes(written=True), turns.rest_bytes(written=False)
        )

    def _is_to_be_read(self, connection: _Watched) -> bool:
        """Say whether the process of a muted connection was promoted since."""
        return connection.muted == NOT_WATCHED and self._sessions.session_of(connection.pid) != 0

    def closed(self, record: ConnectionClosed, wall_offset_ns: int) -> list[pb.Event]:
        """End what is open on a connection that is gone."""
        lost = {False: record.lost_read_bytes, True: record.lost_written_bytes}
        return self._end(
            record.connection, record.boot_ns, pb.HTTP_OUTCOME_ABORTED, wall_offset_ns, lost
        )

    def close_process(self, pid: int, boot_ns: int, wall_offset_ns: int) -> list[pb.Event]:
        """End the connections of a process that is gone."""
        return [
            event
            for key in self._owners.keys_of(pid)
            for event in self._end(key, boot_ns, pb.HTTP_OUTCOME_ABORTED, wall_offset_ns)
        ]

    def close_all(self, boot_ns: int, wall_offset_ns: int) -> list[pb.Event]:
        """Say of each open exchange that its end was not seen, because the watcher stops."""
        return [
            event
            for key in list(self._watched)
            for event in self._end(key, boot_ns, pb.HTTP_OUTCOME_UNFINISHED, wall_offset_ns)
        ]

    def count_lost(self, kernel: ClassCounters) -> None:
        """Take over how much plaintext the kernel side could not give; totals since load."""
        self._traffic.lose_in_kernel(kernel)

    def _find(self, key: int, pid: int, session: int) -> _Watched:
        connection = self._watched.get(key)
        if connection is None:
            connection = _Watched(
                pid, session or self._sessions.session_of(pid), Conversation(self._settings)
            )
            self._watched[key] = connection
            self._owners.add(pid, key)
        return connection

    def _decide(
        self,
        key: int,
        connection: _Watched,
        messages: Iterable[HttpMessage],
        wall_offset_ns: int,
    ) -> list[pb.Event]:
        """Promote on the first LLM call, and turn what belongs to a session into events."""
        events: list[pb.Event] = []
        for message in messages:
            self._messages.received += 1
            if isinstance(message, RequestStarted):
                events += self._request(connection, message)
                if message.exchange not in connection.wanted:
                    connection.http.leave_bodies(message.exchange)
            if message.exchange in connection.unwanted:
                self._messages.filter(UNWANTED_HOST)
            elif message.exchange not in connection.exchanges:
                self._messages.filter(NOT_WATCHED)
            elif (
                isinstance(message, BodyPart | WebSocketMessage)
                and message.exchange not in connection.wanted
            ):
                self._messages.filter(UNWANTED_BODY)
            else:
                self._messages.emitted += 1
                events += self._to_events(key, connection, message, wall_offset_ns)
            if isinstance(message, ExchangeFinished):
                connection.exchanges.discard(message.exchange)
                connection.wanted.discard(message.exchange)
                connection.unwanted.discard(message.exchange)
        return events

    def _forget(self, connection: _Watched) -> None:
        """End the parser of a connection of which nothing was told."""
        messages = connection.http.close(0)
        self._messages.received += len(messages)
        if messages:
            self._messages.filter(NOT_WATCHED, len(messages))
        self._settle(connection)

    def _unmute_members(self) -> None:
        """Have the kernel go on with connections of the session that has just begun."""
        for key, connection in self._watched.items():
            if connection.muted == NOT_WATCHED and self._sessions.session_of(connection.pid):
                self._switches.unmute(key)

    def _request(self, connection: _Watched, request: RequestStarted) -> list[pb.Event]:
        connection.requests += 1
        headers = dict(request.headers)
        endpoint = _find_endpoint(request, headers)
        is_wanted = endpoint is not None or may_be_mcp(request.method, request.target, headers)
        connection.session = connection.session or self._sessions.session_of(connection.pid)
        if not self._hosts.wants(headers.get("host", ""), connection.peer_address):
            connection.unwanted.add(request.exchange)
            connection.unwanted_requests += 1
            return []
        events: list[pb.Event] = []
        is_client = connection.http.role is Role.CLIENT
        proven = endpoint is not None and (
            endpoint.certain or connection.is_plain or not _SDK_HEADERS.isdisjoint(headers)
        )
        if proven and is_client and self._promote and not connection.session:
            events = self._sessions.promote(connection.pid, request.time_ns)
            connection.session = self._sessions.session_of(connection.pid)
            self._unmute_members()
        if connection.session and is_client:
            connection.exchanges.add(request.exchange)
            if is_wanted:
                connection.wanted.add(request.exchange)
        return events

    def _to_events(
        self, key: int, connection: _Watched, message: HttpMessage, wall_offset_ns: int
    ) -> list[pb.Event]:
        origin = Origin(
            connection=key,
            session=connection.session,
            pid=connection.pid,
            wall_offset_ns=wall_offset_ns,
            scheme="http" if connection.is_plain else "https",
            peer_address=connection.peer_address,
            peer_port=connection.peer_port,
        )
        return [
            event
            for redacted in self._redactor.message(key, message)
            for event in to_events(redacted, origin)
        ]

    def _judge(self, key: int, connection: _Watched) -> None:
        """Switch off, in the kernel, a connection that is nobody's we watch."""
        if connection.http.role is Role.NOT_HTTP:
            connection.muted = not_http(connection.http)
        elif connection.http.role is Role.SERVER:
            connection.muted = SERVER_SIDE
        elif not connection.session and connection.is_judged:
            connection.muted = NOT_WATCHED
        elif connection.only_unwanted and connection.requests >= _REQUESTS_BEFORE_VERDICT:
            connection.muted = UNWANTED_HOST
        if connection.muted:
            self._switches.mute(key)

    def _settle(self, connection: _Watched) -> None:
        in_session = bool(connection.session)
        self._traffic.settle(connection.http, connection.settled, in_session=in_session)

    def _end(
        self,
        key: int,
        boot_ns: int,
        outcome: pb.HttpOutcome,
        wall_offset_ns: int,
        lost: Mapping[bool, int] = _NOTHING_LOST,
    ) -> list[pb.Event]:
        """Close a connection; `lost` bytes, by whether they were written, are missing before."""
        connection = self._watched.get(key)
        if connection is None:
            return []
        messages: list[HttpMessage] = []
        for written, count in lost.items():
            if count:
                messages += connection.http.feed(written, b"", (), (), lost=count)
        messages += connection.http.close(boot_ns, outcome)
        events = self._decide(key, connection, messages, wall_offset_ns)
        self._settle(connection)
        del self._watched[key]
        self._owners.remove(connection.pid, key)
        return events


def _find_endpoint(request: RequestStarted, headers: Mapping[str, str]) -> Endpoint | None:
    host = headers.get("host", "")
    if asks_for_websocket(request.headers):
        return find_socket(host, request.target)
    return find_endpoint(request.method, host, request.target, headers.get("content-type", ""))
