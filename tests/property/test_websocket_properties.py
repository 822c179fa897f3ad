"""WebSocket as `wsproto` writes it: any cut gives the same, gaps and noise never raise."""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.parsers.accounts import HttpSettings
from agentsight_core.parsers.conversation import Conversation
from agentsight_core.parsers.messages import (
    ExchangeFinished,
    HttpMessage,
    WebSocketKind,
    WebSocketMessage,
)
from agentsight_core.pb import events_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Request,
    TextMessage,
)
from wsproto.extensions import Extension, PerMessageDeflate

Said = tuple[str | bytes, int, bool]
texts = st.one_of(st.text(max_size=400), st.binary(max_size=400), st.just("ab" * 40_000))
# What is said, in how many fragments, and whether a ping comes between them.
sayings = st.lists(st.tuples(texts, st.integers(1, 3), st.booleans()), max_size=5)
cuts = st.lists(st.integers(1, 90), min_size=1, max_size=20)
deflates = st.sampled_from([None, (True, True), (False, False), (True, False)])


def wire(
    client_says: Sequence[Said],
    server_says: Sequence[Said],
    deflate: tuple[bool, bool] | None,
) -> list[tuple[bool, bytes]]:
    """Return the writes of client (True) and server; `deflate`: no context takeover of each."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    offered: list[Extension] = []
    accepted: list[Extension] = []
    if deflate is not None:
        for extensions in (offered, accepted):
            extensions.append(
                PerMessageDeflate(
                    client_no_context_takeover=deflate[0], server_no_context_takeover=deflate[1]
                )
            )
    writes = []

    def say(written: bool, event: object) -> None:
        sender, receiver = (client, server) if written else (server, client)
        data = sender.send(event)  # type: ignore[arg-type]
        writes.append((written, data))
        receiver.receive_data(data)
        list(receiver.events())

    say(True, Request(host="h", target="/ws", extensions=offered))
    say(False, AcceptConnection(extensions=accepted))
    for written, sayings in ((True, client_says), (False, server_says)):
        for what, fragments, ping in sayings:
            size = len(what) // fragments + 1
            for number in range(fragments):
                part = what[number * size : (number + 1) * size]
                last = number == fragments - 1
                if isinstance(part, str):
                    say(written, TextMessage(data=part, message_finished=last))
                else:
                    say(written, BytesMessage(data=part, message_finished=last))
                if ping:
                    say(written, Ping(payload=b"are you there"))
    say(True, CloseConnection(code=1000, reason="bye"))
    say(False, CloseConnection(code=1000, reason="bye"))
    return writes


def slices(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    parts = []
    position = turn = 0
    while position < len(data):
        size = sizes[turn % len(sizes)] * (1 if len(data) < 10_000 else 50)
        parts.append(data[position : position + size])
        position += size
        turn += 1
    return parts


def assert_accounted(http: Conversation) -> None:
    assert http.bytes_in == http.bytes_parsed + sum(http.skipped.values()) + http.held_bytes


def run(writes: Sequence[tuple[bool, bytes]], sizes: Sequence[int] = ()) -> list[HttpMessage]:
    http = Conversation()
    out: list[HttpMessage] = []
    for written, data in writes:
        for part in slices(data, sizes) if sizes else [data]:
            out += http.feed(written, part, (0,), (1,))
            assert_accounted(http)
    out += http.close(1)
    assert not http.skipped
    return out


def messages(out: Sequence[HttpMessage]) -> list[WebSocketMessage]:
    return [message for message in out if isinstance(message, WebSocketMessage)]


@given(sayings, sayings, deflates, cuts)
@settings(max_examples=40, deadline=None)
def test_what_a_peer_wrote_is_read_however_it_is_cut(
    client: list[Said], server: list[Said], deflate: tuple[bool, bool] | None, sizes: list[int]
) -> None:
    writes = wire(client, server, deflate)
    whole = run(writes)
    assert run(writes, sizes) == whole
    for sayings, direction in ((client, pb.DIRECTION_REQUEST), (server, pb.DIRECTION_RESPONSE)):
        *found, close = [m for m in messages(whole) if m.direction == direction]
        expected = [
            (WebSocketKind.TEXT, what.encode())
            if isinstance(what, str)
            else (WebSocketKind.BINARY, what)
            for what, _, _ in sayings
        ]
        assert [(message.kind, message.data) for message in found] == expected
        assert {message.problem for message in found} <= {""}
        assert (close.kind, close.close_code, close.data) == (WebSocketKind.CLOSE, 1000, b"bye")
    (end,) = [message for message in whole if isinstance(message, ExchangeFinished)]
    assert (end.outcome, end.error) == (pb.HTTP_OUTCOME_UPGRADED, "")
    assert (end.request_messages, end.response_messages) == (len(client), len(server))


@given(sayings, sayings, deflates, st.data())
@settings(max_examples=60, deadline=None)
def test_gaps_are_declared_and_nothing_is_invented(
    client: list[Said],
    server: list[Said],
    deflate: tuple[bool, bool] | None,
    data: st.DataObject,
) -> None:
    http = Conversation()
    out: list[HttpMessage] = []
    lost = {True: 0, False: 0}
    for number, (written, write) in enumerate(wire(client, server, deflate)):
        for part in slices(write, [40]):
            if number > 1 and data.draw(st.integers(0, 9)) == 0:
                lost[written] += len(part)
                continue
            known = -1 if lost[written] and data.draw(st.booleans()) else lost[written]
            out += http.feed(written, part, (0,), (1,), lost=known)
            lost[written] = 0
            assert_accounted(http)
    out += http.close(2)
    assert http.held_bytes == 0
    assert_accounted(http)
    said = {what.encode() if isinstance(what, str) else what for what, _, _ in client + server}
    for message in messages(out):
        if message.kind is not WebSocketKind.CLOSE and not message.problem:
            assert message.data in said
    assert isinstance(out[-1], ExchangeFinished)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40), st.sampled_from([0, 0, 3, -1]))))
@settings(max_examples=150, deadline=None)
def test_noise_never_raises_and_is_accounted(feeds: list[tuple[bool, bytes, int]]) -> None:
    http = Conversation(HttpSettings(max_body_bytes=50))
    out: list[HttpMessage] = []
    opening = wire([], [], (False, False))[:2]
    for time, (written, data, lost) in enumerate([*[(w, d, 0) for w, d in opening], *feeds]):
        out += http.feed(written, data, *(((0,), (time,)) if data else ((), ())), lost=lost)
        assert_accounted(http)
        assert all(len(message.data) <= 125 for message in messages(out))
    out += http.close(99)
    assert http.held_bytes == 0
    assert_accounted(http)
    assert [m.exchange for m in out if isinstance(m, ExchangeFinished)] == [0]


def test_a_bomb_is_cut_and_the_next_message_is_read() -> None:
    bomb: Said = ("a" * 5_000_000, 1, False)
    writes = wire([bomb, ("after", 1, False)], [], (False, False))
    http = Conversation(HttpSettings(max_body_bytes=100_000))
    out: list[HttpMessage] = []
    for written, data in writes:
        out += http.feed(written, data, (0,), (1,))
    first, second, *_ = messages(out)
    assert len(first.data) == 100_000
    assert first.problem
    assert (second.data, second.problem) == (b"after", "")
