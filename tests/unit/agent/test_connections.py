"""Which traffic is an agent's: promotion, filters, bodies, and where every byte went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import pytest
from agentsight_agent.bpf.counters import ClassCounters
from agentsight_agent.bpf.records import (
    ConnectionClosed,
    ConnectionOpened,
    PayloadSource,
    TlsDuplex,
    TlsRun,
)
from agentsight_agent.connections import Connections
from agentsight_agent.duplex import Turns
from agentsight_agent.hosts import HostFilter
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_core.parsers.accounts import HttpSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger, Stage
from hypothesis import given
from hypothesis import strategies as st

ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\ncontent-length: 2\r\n\r\n{}"
OTHER = b"POST /upload HTTP/1.1\r\nhost: example.org\r\ncontent-length: 4\r\n\r\ndata"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
PID = 100


class H2Client:
    """Writes requests of one HTTP/2 connection."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._connection = h2.connection.H2Connection(config)
        self._connection.initiate_connection()
        self.preface = self._connection.data_to_send()

    def reset(self, stream: int) -> bytes:
        self._connection.reset_stream(stream, error_code=8)
        return self._connection.data_to_send()

    def ask(self, path: str, body: bytes, *, host: str) -> bytes:
        stream = self._connection.get_next_available_stream_id()
        head = [(":method", "POST"), (":path", path), (":scheme", "https"), (":authority", host)]
        self._connection.send_headers(stream, head)
        self._connection.send_data(stream, body, end_stream=True)
        return self._connection.data_to_send()


class Sessions:
    """Promotes into session 7."""

    def __init__(self) -> None:
        self.members: dict[int, int] = {}
        self.promoted: list[int] = []

    def session_of(self, pid: int) -> int:
        return self.members.get(pid, 0)

    def promote(self, pid: int, boot_ns: int) -> list[pb.Event]:
        self.members[pid] = 7
        self.promoted.append(pid)
        started = pb.SessionStarted(root_pid=pid)
        return [pb.Event(session=7, boot_ns=boot_ns, session_started=started)]


@dataclass
class Watch:
    """Connections with everything around them."""

    sessions: Sessions = field(default_factory=Sessions)
    ledger: Ledger = field(default_factory=Ledger)
    muted: set[int] = field(default_factory=set)
    promote: bool = True
    http: HttpSettings = field(default_factory=HttpSettings)
    now_ns: int = 1000

    def __post_init__(self) -> None:
        redactor = Redactor(CaptureMode.FULL, b"key")
        self.connections = Connections(
            self.sessions,
            redactor,
            self,
            self.ledger,
            self.http,
            promote=self.promote,
        )

    @property
    def bytes(self) -> Stage:
        return self.ledger.stage("tls", "bytes")

    def mute(self, connection: int) -> None:
        self.muted.add(connection)

    def unmute(self, connection: int) -> None:
        self.muted.remove(connection)

    def say(
        self,
        data: bytes,
        *,
        written: bool = True,
        connection: int = 1,
        lost: int = 0,
        source: PayloadSource = PayloadSource.TLS,
    ) -> list[pb.Event]:
        self.now_ns += 10
        session = self.sessions.session_of(PID)
        offsets, times = memoryview(b"\0" * 8).cast("Q"), memoryview(bytearray(8)).cast("Q")
        times[0] = self.now_ns
        run = TlsRun(connection, session, PID, PID, 0, written, data, offsets, times, lost, source)
        return self.connections.run(run, wall_offset_ns=0)

    def exchange(self, request: bytes, answer: bytes = ANSWER, **where: int) -> list[pb.Event]:
        return self.say(request, **where) + self.say(answer, written=False, **where)

    def close(self, connection: int = 1, read: int = 0, written: int = 0) -> list[pb.Event]:
        record = ConnectionClosed(connection, PID, self.now_ns, read, written)
        return self.connections.closed(record, 0)


@pytest.fixture
def watch() -> Watch:
    return Watch()


def kinds(events: Iterable[pb.Event]) -> list[str]:
    return [str(event.WhichOneof("body")).removeprefix("http_") for event in events]


FULL = ["request_started", "body", "response_started", "body", "finished"]


def test_the_first_call_of_a_model_makes_a_session(watch: Watch) -> None:
    events = watch.exchange(ASK)
    assert kinds(events) == ["session_started", *FULL]
    assert {event.session for event in events} == {7}
    assert watch.sessions.promoted == [PID]
    watch.exchange(ASK)
    assert watch.sessions.promoted == [PID]


def test_what_is_said_to_an_unwanted_host_is_filtered_and_switched_off(watch: Watch) -> None:
    hosts = HostFilter(exclude=("api.openai.com",))
    watch.connections.apply(HttpSettings(), promote=True, hosts=hosts)
    assert watch.exchange(ASK) == []
    assert not watch.sessions.promoted

    watch.sessions.members[PID] = 7
    assert kinds(watch.exchange(OTHER, connection=2)) == [
        "request_started",
        "response_started",
        "finished",
    ]
    for _ in range(3):
        assert watch.exchange(ASK) == []
    assert watch.muted == {1}
    assert watch.exchange(ASK) == []
    assert watch.close() == []
    messages = watch.ledger.stage("http", "messages")
    assert messages.filtered["host not wanted by a filter"] >= 12
    for stage in (messages, watch.bytes):
        assert (stage.unexplained, stage.dropped) == (0, {})

    watch.connections.apply(HttpSettings(), promote=True)
    assert kinds(watch.exchange(ASK, connection=3)) == FULL


LOCAL = b"POST /api/chat HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncontent-length: 2\r\n\r\n{}"


def test_a_call_of_a_local_model_makes_a_session_only_without_tls(watch: Watch) -> None:
    # Any site may have such a path.
    assert watch.say(LOCAL) == []
    events = watch.say(LOCAL, connection=2, source=PayloadSource.SOCKET)
    assert kinds(events) == ["session_started", "request_started", "body"]
    assert events[1].http_request_started.scheme == "http"


def test_bodies_of_mcp_are_kept(watch: Watch) -> None:
    watch.exchange(ASK)
    mcp = OTHER.replace(b"\r\n\r\n", b"\r\nmcp-session-id: a\r\n\r\n")
    assert "body" in kinds(watch.exchange(mcp, connection=2))
    assert "body" not in kinds(watch.exchange(OTHER, connection=3))


def test_nobody_is_promoted_when_that_is_switched_off() -> None:
    watch = Watch(promote=False)
    assert watch.exchange(ASK) == []
    assert watch.sessions.promoted == []


def test_a_request_before_the_promotion_is_not_told(watch: Watch) -> None:
    assert watch.exchange(OTHER) == []
    assert kinds(watch.exchange(ASK)) == ["session_started", *FULL]


def test_the_fifth_request_of_a_stranger_is_not_read(watch: Watch) -> None:
    for _ in range(3):
        watch.exchange(OTHER)
    assert watch.muted == set()
    watch.exchange(OTHER)
    assert watch.muted == {1}
    before = watch.bytes.emitted
    assert watch.exchange(OTHER) == []
    assert watch.bytes.emitted == before
    assert watch.bytes.filtered == {
        "unwanted_body": 3 * len("hello"),
        "program is not watched": 2 * len(ANSWER) + len(OTHER),
    }
    assert watch.bytes.dropped == {}


def test_a_long_download_of_a_stranger_is_not_read_to_its_end(watch: Watch) -> None:
    watch.say(OTHER)
    watch.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n", written=False)
    for _ in range(16):
        assert watch.muted == set()
        watch.say(b"x" * 65536, written=False)
    assert watch.muted == {1}
    assert watch.bytes.dropped == {}
    assert watch.bytes.unexplained == 0


def test_a_connection_that_was_muted_comes_back_with_the_promotion(watch: Watch) -> None:
    for _ in range(4):
        watch.exchange(OTHER, connection=1)
    watch.say(OTHER[:20], connection=3)
    assert watch.muted == {1}
    watch.exchange(ASK, connection=2)
    assert watch.muted == set()
    # The kernel has left out anything since it was muted.
    watch.say(b"the rest of something", connection=1)
    assert kinds(watch.exchange(ASK, connection=1)) == FULL
    assert watch.bytes.unexplained == 0


def test_only_the_heads_of_other_requests_are_kept(watch: Watch) -> None:
    watch.exchange(ASK)
    assert kinds(watch.exchange(OTHER)) == ["request_started", "response_started", "finished"]
    messages = watch.ledger.stage("http", "messages")
    # That of the request came in one piece with its head.
    assert messages.filtered == {"unwanted_body": 1}
    assert messages.unexplained == 0
    assert watch.bytes.filtered == {"unwanted_body": len("hello")}


def test_bodies_that_nobody_wants_have_no_limit() -> None:
    watch = Watch(http=HttpSettings(max_body_bytes=1000))
    watch.exchange(ASK)
    head = b"POST /upload HTTP/1.1\r\nhost: example.org\r\ncontent-length: 5000\r\n\r\n"
    watch.say(head)
    for _ in range(5):
        assert watch.say(b"x" * 1000) == []
    finished = watch.say(ANSWER, written=False)[-1].http_finished
    assert finished.request_bytes == 5000
    assert not finished.request_truncated
    assert watch.bytes.dropped == {}
    assert watch.bytes.filtered == {"unwanted_body": 5000 + len("hello")}
    assert watch.bytes.unexplained == 0


HEADS = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\ncontent-length: 50\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n",
)


@pytest.mark.parametrize("heads_within", [False, True])
def test_both_directions_at_once_give_what_their_turns_give(heads_within: bool) -> None:
    asked, answered = [b"question %d" % number for number in range(3)], [b"answer 1234"] * 3
    if heads_within:
        asked, answered = [HEADS[0], *asked], [HEADS[1], *answered]
    events = []
    for at_once in (False, True):
        watch = Watch()
        if not heads_within:
            watch.say(HEADS[0])
            watch.say(HEADS[1], written=False)
        sides = [
            TlsRun(1, 0, PID, PID, 0, written, b"".join(said), starts(said), times, 0)
            for written, said, times in (
                (True, asked, range(100, 100 + 2 * len(asked), 2)),
                (False, answered, range(101, 101 + 2 * len(answered), 2)),
            )
        ]
        duplex = TlsDuplex(*sides)
        if at_once:
            events.append(watch.connections.duplex(duplex, 0))
        else:
            turns = Turns(duplex)
            events.append([event for run in turns for event in watch.connections.run(run, 0)])
        assert watch.bytes.unexplained == 0
    assert joined_bodies(events[0]) == joined_bodies(events[1]) != {}
    # Inside of bodies, once both have begun, one feed of each direction is enough.
    assert [len(said) for said in events] == ([9, 5] if heads_within else [6, 2])


def starts(parts: list[bytes]) -> list[int]:
    return [sum(map(len, parts[:number])) for number in range(len(parts))]


def joined_bodies(events: list[pb.Event]) -> dict[int, bytes]:
    """Return the content of all bodies by direction."""
    bodies: dict[int, bytes] = {}
    for event in events:
        if event.HasField("http_body"):
            body = event.http_body
            bodies[body.direction] = bodies.get(body.direction, b"") + body.data
    return bodies


def test_the_serving_side_is_not_read(watch: Watch) -> None:
    watch.sessions.members[PID] = 7
    events = watch.say(ASK, written=False) + watch.say(ANSWER)
    assert events == []
    assert watch.muted == {1}
    watch.say(ASK, written=False)
    assert watch.bytes.filtered == {"server side": len(ASK) + len(ANSWER)}


def test_http2_streams_are_judged_one_by_one(watch: Watch) -> None:
    client = H2Client()
    stranger = client.ask("/upload", b"data", host="example.org")
    assert watch.say(client.preface + stranger) == []
    call = client.ask("/v1/chat/completions", b"{}", host="api.openai.com")
    kinds = [event.WhichOneof("body") for event in watch.say(call)]
    assert kinds == ["session_started", "http_request_started", "http_body"]
    events = watch.say(client.ask("/upload", b"more", host="example.org"))
    assert [event.WhichOneof("body") for event in events] == ["http_request_started"]
    assert watch.muted == set()
    assert watch.bytes.dropped == {}


def test_what_comes_on_a_stream_that_was_reset_is_no_loss(watch: Watch) -> None:
    watch.sessions.members[PID] = 7
    client = H2Client()
    ask = client.ask("/v1/chat/completions", b"{}", host="api.openai.com")
    watch.say(client.preface + ask)
    stream = (1).to_bytes(4, "big")
    watch.say(b"\0\0\1\1\4" + stream + b"\x88" + b"\0\0\5\0\0" + stream + b"hello", written=False)
    watch.say(client.reset(1))
    assert watch.say(b"\0\0\5\0\0" + stream + b"later", written=False) == []
    assert watch.bytes.filtered == {"closed_stream": 5}
    assert watch.bytes.dropped == {}
    assert watch.bytes.unexplained == 0


def test_http2_of_a_stranger_is_muted_and_joined_once_its_process_is_an_agent(
    watch: Watch,
) -> None:
    client = H2Client()
    watch.say(client.preface)
    for _ in range(4):
        watch.say(client.ask("/upload", b"data", host="example.org"))
    assert watch.muted == {1}
    client.ask("/upload", b"not seen", host="example.org")
    watch.sessions.members[PID] = 7
    events = watch.say(client.ask("/v1/chat/completions", b"{}", host="api.openai.com"))
    request, body = events
    # The host was said before, in a part of the header table that was not seen; the path was not.
    assert request.http_request_started.target == "/v1/chat/completions"
    assert body.http_body.data == b"{}"
    assert watch.bytes.dropped == {}


def test_the_peer_is_named_from_the_next_request_on(watch: Watch) -> None:
    watch.exchange(ASK)
    watch.connections.opened(ConnectionOpened(1, 7, PID, 0, "192.0.2.7", 443))
    request = watch.exchange(ASK)[0].http_request_started
    assert (request.peer_address, request.peer_port) == ("192.0.2.7", 443)


def test_what_is_open_is_aborted_by_a_close_and_by_the_end_of_the_process(watch: Watch) -> None:
    watch.say(ASK, connection=1)
    watch.say(ASK, connection=2)
    (first,) = watch.close(connection=1)
    (second,) = watch.connections.close_process(PID, 5000, 0)
    for event, connection in ((first, 1), (second, 2)):
        assert event.http_finished.connection == connection
        assert event.http_finished.outcome == pb.HTTP_OUTCOME_ABORTED
    assert watch.close(connection=1) == []


def test_what_is_open_when_the_watcher_stops_is_unfinished(watch: Watch) -> None:
    watch.say(ASK)
    (event,) = watch.connections.close_all(5000, 0)
    assert event.http_finished.outcome == pb.HTTP_OUTCOME_UNFINISHED


def test_what_is_lost_right_before_the_close_is_told(watch: Watch) -> None:
    ask = ASK.replace(b"content-length: 2", b"content-length: 10")
    watch.say(ask)
    watch.say(ANSWER, written=False)
    (event,) = watch.close(written=8)
    assert event.http_finished.outcome == pb.HTTP_OUTCOME_GAP
    assert event.http_finished.lost_bytes == 8


def test_the_bytes_that_the_kernel_lost_are_counted_once(watch: Watch) -> None:
    watch.connections.count_lost(ClassCounters(ring_full_bytes=100, truncated_bytes=7))
    watch.connections.count_lost(ClassCounters(ring_full_bytes=150, truncated_bytes=7))
    assert watch.bytes.dropped == {"ring_full": 150, "call_limit": 7}
    assert (watch.bytes.received, watch.bytes.unexplained) == (157, 0)


PARTS = st.one_of(
    st.sampled_from([ASK, OTHER, ANSWER, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\r\n\r\n"]),
    # Enough for a verdict, and a rest that is held.
    st.just(4 * OTHER + OTHER[:20]),
    st.binary(max_size=40),
)
RUNS = st.lists(
    st.tuples(
        PARTS,
        st.booleans(),
        st.integers(1, 3),
        st.sampled_from([0, 0, 0, 3, 100_000]),
        st.sampled_from(["", "", "", "close", "stop", "join"]),
    ),
    max_size=40,
)


@given(RUNS, st.booleans())
def test_every_byte_is_somewhere(
    runs: list[tuple[bytes, bool, int, int, str]], promote: bool
) -> None:
    watch = Watch(promote=promote)
    fed = 0
    for data, written, connection, lost, then in runs:
        watch.say(data, written=written, connection=connection, lost=lost)
        fed += len(data)
        if then == "close":
            watch.close(connection, read=lost)
        elif then == "stop":
            watch.connections.close_process(PID, watch.now_ns, 0)
        elif then == "join":
            watch.sessions.members[PID] = 7
        assert watch.bytes.received == fed
        assert watch.bytes.unexplained == 0
        assert watch.ledger.stage("http", "messages").unexplained == 0
    watch.connections.close_all(watch.now_ns, 0)
    assert watch.bytes.held == 0
    assert watch.bytes.unexplained == 0
