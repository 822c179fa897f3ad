"""HTTP/2 as `h2` writes it: any cut gives the same, gaps and noise never raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.settings
from agentsight_core.parsers.accounts import HttpSettings
from agentsight_core.parsers.conversation import Conversation
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
    Role,
)
from agentsight_core.pb import events_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

Call = tuple[bytes, bytes, str, int]
calls = st.lists(
    st.tuples(
        st.binary(max_size=300),
        st.binary(max_size=3000),
        st.text("abcdefgh-", min_size=1, max_size=40),
        st.sampled_from([0, 0, 1, 200]),
    ),
    min_size=1,
    max_size=6,
)
cuts = st.lists(st.integers(1, 90), min_size=1, max_size=20)


def connection(*, client: bool) -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(client_side=client, header_encoding=None)
    return h2.connection.H2Connection(config)


def wire(calls: Sequence[Call], *, table_bytes: int = 4096) -> tuple[bytes, bytes]:
    """Return what client and server write; all requests are open at once, answers interleave."""
    client, server = connection(client=True), connection(client=False)
    streams: list[bytearray] = [bytearray(), bytearray()]

    def exchange() -> None:
        for _ in range(2):
            for index, (sender, receiver) in enumerate(((client, server), (server, client))):
                data = sender.data_to_send()
                streams[index] += data
                receiver.receive_data(data)

    client.initiate_connection()
    server.initiate_connection()
    exchange()
    server.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: table_bytes})
    exchange()
    for number, (request, _, name, padding) in enumerate(calls):
        head = [(":method", "POST"), (":path", f"/{name}"), (":scheme", "https")]
        head += [(":authority", "h"), ("x-name", name), ("x-number", str(number))]
        client.send_headers(2 * number + 1, head)
        client.send_data(2 * number + 1, request, end_stream=True, pad_length=padding or None)
    exchange()
    for number, (_, _, name, _) in enumerate(calls):
        server.send_headers(2 * number + 1, [(":status", "103"), ("link", name)])
        server.send_headers(2 * number + 1, [(":status", "200"), ("x-answer", name)])
    for part in range(3):
        for number, (_, answer, _, padding) in reversed(list(enumerate(calls))):
            third = answer[part * len(answer) // 3 : (part + 1) * len(answer) // 3]
            server.send_data(2 * number + 1, third, pad_length=padding or None)
            exchange()
    for number, (_, _, name, _) in enumerate(calls):
        server.send_headers(2 * number + 1, [("x-end", name)], end_stream=True)
    exchange()
    return bytes(streams[0]), bytes(streams[1])


def slices(stream: bytes, sizes: Sequence[int]) -> list[bytes]:
    parts = []
    position = turn = 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        parts.append(stream[position : position + size])
        position += size
        turn += 1
    return parts


def assert_accounted(http: Conversation) -> None:
    assert http.bytes_in == http.bytes_parsed + sum(http.skipped.values()) + http.held_bytes


def run(requests: Sequence[bytes], responses: Sequence[bytes]) -> list[HttpMessage]:
    http = Conversation()
    out: list[HttpMessage] = []
    for written, parts in ((True, requests), (False, responses)):
        for part in parts:
            out += http.feed(written, part, (0,), (1,))
            assert_accounted(http)
    assert http.role is Role.CLIENT
    out += http.close(1)
    assert not http.skipped
    return out


def merged(messages: Sequence[HttpMessage]) -> tuple[list[HttpMessage], dict[Any, bytes]]:
    """Return what is no body, by exchange, and the bodies, joined."""
    joined: dict[Any, bytes] = {}
    for part in messages:
        if isinstance(part, BodyPart):
            key = (part.exchange, part.direction)
            joined[key] = joined.get(key, b"") + part.data
    return [m for m in messages if not isinstance(m, BodyPart)], joined


@given(calls, cuts, cuts, st.sampled_from([0, 200, 4096, 65536]))
@settings(max_examples=25, deadline=None)
def test_what_a_peer_wrote_is_read_however_it_is_cut(
    calls: list[Call], a: list[int], b: list[int], table_bytes: int
) -> None:
    requests, responses = wire(calls, table_bytes=table_bytes)
    whole = merged(run([requests], [responses]))
    assert merged(run(slices(requests, a), slices(responses, b))) == whole
    heads, bodies = whole
    for index, (request, answer, name, _) in enumerate(calls):
        assert bodies.get((index, pb.DIRECTION_REQUEST), b"") == request
        assert bodies.get((index, pb.DIRECTION_RESPONSE), b"") == answer
        own = [message for message in heads if message.exchange == index]
        started, response, end = own
        assert isinstance(started, RequestStarted)
        assert (started.method, started.target, started.version) == ("POST", f"/{name}", "2")
        fields = (("host", "h"), ("x-name", name), ("x-number", str(index)))
        assert started.headers == fields
        assert isinstance(response, ResponseStarted)
        assert (response.status, response.headers) == (200, (("x-answer", name),))
        assert isinstance(end, ExchangeFinished)
        assert (end.outcome, end.error) == (pb.HTTP_OUTCOME_COMPLETE, "")
        assert (end.request_bytes, end.response_bytes) == (len(request), len(answer))
        assert end.trailers == (("x-end", name),)


@given(calls, cuts, st.data())
@settings(max_examples=40, deadline=None)
def test_gaps_are_declared_and_nothing_is_invented(
    calls: list[Call], sizes: list[int], data: st.DataObject
) -> None:
    requests, responses = wire(calls)
    http = Conversation()
    out: list[HttpMessage] = []
    for written, stream in ((True, requests), (False, responses)):
        lost = 0
        for part in slices(stream, sizes):
            if data.draw(st.integers(0, 9)) == 0:
                lost += len(part)
                continue
            known = -1 if lost and data.draw(st.booleans()) else lost
            out += http.feed(written, part, (0,), (1,), lost=known)
            lost = 0
            assert_accounted(http)
    out += http.close(2)
    assert http.held_bytes == 0
    assert_accounted(http)
    ends = {m.exchange: m for m in out if isinstance(m, ExchangeFinished)}
    assert {m.exchange for m in out} == set(ends)
    for message in out:
        if isinstance(message, RequestStarted) and message.target:
            assert message.target in {f"/{name}" for _, _, name, _ in calls}
        if isinstance(message, ResponseStarted):
            assert message.status in (0, 200)
    _, bodies = merged(out)
    whole = {request for request, _, _, _ in calls} | {answer for _, answer, _, _ in calls}
    for (exchange, _), body in bodies.items():
        complete = ends[exchange].outcome == pb.HTTP_OUTCOME_COMPLETE
        assert not complete or body in whole


@given(calls, st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_a_connection_that_is_joined_in_its_middle_is_read_from_the_next_head_on(
    calls: list[Call], missed: int
) -> None:
    calls = [(b"earlier", b"answer", "earlier", 0)] * missed + calls
    requests, responses = wire(calls)
    http = Conversation(is_http2=True)
    seen_requests = requests[requests.index(_path_block(requests, missed)) :]
    out = http.feed(True, seen_requests, (0,), (1,), lost=-1)
    out += http.feed(False, responses, (0,), (2,), lost=-1)
    out += http.close(3)
    started = [m for m in out if isinstance(m, RequestStarted)]
    assert len(started) == len(calls) - missed
    _, bodies = merged(out)
    for number, message in enumerate(started):
        request, _, name, _ = calls[missed + number]
        assert message.method == "POST"
        assert bodies.get((message.exchange, pb.DIRECTION_REQUEST), b"") == request
        assert message.target in (f"/{name}", "")


def _path_block(requests: bytes, number: int) -> bytes:
    """Return the nine bytes with which the request of this number begins."""
    position = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    while True:
        length = int.from_bytes(requests[position : position + 3], "big")
        stream = int.from_bytes(requests[position + 5 : position + 9], "big")
        if requests[position + 3] == 1 and stream == 2 * number + 1:
            return requests[position : position + 9]
        position += 9 + length


frame_noise = st.builds(
    lambda length, kind, flags, stream, payload: (
        length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    ),
    st.sampled_from([0, 1, 4, 5, 6, 8, 20, 16384, 1 << 20]),
    st.integers(0, 11),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 1 << 31]),
    st.binary(max_size=30),
)
noise = st.lists(
    st.one_of(
        st.binary(max_size=30),
        frame_noise,
        st.sampled_from(
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"]
        ),
    ),
    max_size=6,
).map(b"".join)


@given(
    st.lists(st.tuples(st.booleans(), noise, st.sampled_from([0, 0, 0, 1, 50, -1])), max_size=12)
)
@settings(max_examples=150, deadline=None)
def test_noise_never_raises_and_is_accounted(feeds: list[tuple[bool, bytes, int]]) -> None:
    http = Conversation(HttpSettings(max_head_bytes=200, max_body_bytes=100, max_open_exchanges=3))
    out: list[HttpMessage] = []
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for time, (written, data, lost) in enumerate([(True, preface, 0), *feeds]):
        out += http.feed(written, data, *(((0,), (time,)) if data else ((), ())), lost=lost)
        assert_accounted(http)
    out += http.close(99)
    assert http.held_bytes == 0
    assert_accounted(http)
    finished = [m.exchange for m in out if isinstance(m, ExchangeFinished)]
    assert sorted(finished) == list(range(len(finished)))
    assert {m.exchange for m in out} == set(finished)


@given(noise, st.booleans())
@settings(max_examples=30, deadline=None)
def test_buffers_stay_bounded(noise: bytes, preface: bool) -> None:
    http = Conversation(HttpSettings(max_head_bytes=500, max_search_bytes=10_000))
    if preface:
        http.feed(True, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (0,), (0,))
    for _ in range(200):
        for written in (True, False):
            http.feed(written, noise or b"x", (0,), (0,))
            assert http.held_bytes <= 2 * 8192 + 2 * len(noise)
