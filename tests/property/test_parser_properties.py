"""Any chunking gives the same messages, garbage never raises, buffers stay bounded."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import Any

from agentsight_core.parsers.eventstream import EventStreamParser
from agentsight_core.parsers.http1 import HttpConnection, HttpSettings
from agentsight_core.parsers.messages import BodyPart, ExchangeFinished, HttpMessage
from agentsight_core.parsers.ndjson import JsonStreamParser
from agentsight_core.parsers.sse import SseParser
from agentsight_core.pb import events_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

POST = b"POST /v1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(chunks: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks if c) + b"0\r\n\r\n"


def plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def coded(body: bytes) -> bytes:
    data = gzip.compress(body, mtime=0)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunked([data[:7], data[7:]])


bodies = st.binary(max_size=200)
framings = st.sampled_from([plain, coded])
exchanges = st.lists(
    st.tuples(st.lists(bodies, max_size=3), bodies, framings), min_size=1, max_size=4
)
cuts = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def slices(stream: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut `stream` into parts of `sizes`, over and over."""
    parts = []
    position = turn = 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        parts.append(stream[position : position + size])
        position += size
        turn += 1
    return parts


def run(requests: Sequence[bytes], responses: Sequence[bytes]) -> list[HttpMessage]:
    http = HttpConnection()
    out: list[HttpMessage] = []
    for written, parts in ((True, requests), (False, responses)):
        for part in parts:
            out += http.feed(written, part, (0,), (1,))
    out += http.close(1)
    assert http.bytes_in == http.bytes_parsed + sum(http.skipped.values())
    return out


def merged(messages: Sequence[HttpMessage]) -> tuple[list[HttpMessage], dict[Any, bytes]]:
    """Return what is no body, and the bodies, joined."""
    joined: dict[Any, bytes] = {}
    for part in messages:
        if isinstance(part, BodyPart):
            key = (part.exchange, part.direction)
            joined[key] = joined.get(key, b"") + part.data
    return [m for m in messages if not isinstance(m, BodyPart)], joined


@given(exchanges, cuts, cuts)
def test_http_any_chunking(
    calls: list[tuple[list[bytes], bytes, Callable[[bytes], bytes]]], a: list[int], b: list[int]
) -> None:
    requests = b"".join(POST + chunked(chunks) for chunks, _, _ in calls)
    responses = b"".join(framing(body) for _, body, framing in calls)
    whole = merged(run([requests], [responses]))
    assert merged(run(slices(requests, a), slices(responses, b))) == whole
    for index, (chunks, body, _) in enumerate(calls):
        assert whole[1].get((index, pb.DIRECTION_REQUEST), b"") == b"".join(chunks)
        assert whole[1].get((index, pb.DIRECTION_RESPONSE), b"") == body


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.binary(min_size=1, max_size=300))
def test_pieces_cover_the_body_with_the_time_of_each_byte(sizes: list[int], body: bytes) -> None:
    stream = plain(body)
    parts = slices(stream, sizes)
    offsets = [sum(map(len, parts[:n])) for n in range(len(parts))]
    http = HttpConnection()
    http.feed(True, POST + b"0\r\n\r\n", (0,), (0,))
    messages = http.feed(False, stream, offsets, range(len(parts)))
    (found,) = [m for m in messages if isinstance(m, BodyPart)]
    head_bytes = len(stream) - len(body)
    expected = [n for n, part in enumerate(parts) for _ in part][head_bytes:]
    ends = [*found.offsets[1:], len(body)]
    actual = [
        time
        for start, end, time in zip(found.offsets, ends, found.times_ns, strict=True)
        for _ in range(start, end)
    ]
    assert actual == expected
    assert all(start < end for start, end in zip(found.offsets, ends, strict=True))


fragments = st.sampled_from(
    [
        POST,
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 101 X\r\n\r\n",
        b"Content-Length: 4\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: br, zstd\r\n",
        b"\r\n",
        b"4\r\nabcd\r\n",
        b"0\r\n\r\n",
        b"GET ",
        b"\x1f\x8b",
    ]
)
noise = st.lists(st.one_of(st.binary(max_size=30), fragments), max_size=8).map(b"".join)


@given(st.lists(st.tuples(st.booleans(), noise, st.sampled_from([0, 0, 1, 50, -1])), max_size=12))
def test_http_garbage_never_raises_and_is_accounted(feeds: list[tuple[bool, bytes, int]]) -> None:
    http = HttpConnection(HttpSettings(max_head_bytes=200, max_body_bytes=100))
    out: list[HttpMessage] = []
    for time, (written, data, lost) in enumerate(feeds):
        pieces = ((0,), (time,)) if data else ((), ())
        out += http.feed(written, data, *pieces, lost=lost)
        assert http.bytes_in == http.bytes_parsed + sum(http.skipped.values()) + http.held_bytes
    out += http.close(99)
    assert http.held_bytes == 0
    assert http.bytes_in == http.bytes_parsed + sum(http.skipped.values())
    finished = [m.exchange for m in out if isinstance(m, ExchangeFinished)]
    assert sorted(finished) == list(range(len(finished)))
    assert {m.exchange for m in out} == set(finished)


@given(st.binary(max_size=64), st.booleans())
@settings(max_examples=30)
def test_http_buffers_stay_bounded(noise: bytes, known: bool) -> None:
    http = HttpConnection(HttpSettings(max_head_bytes=500, max_search_bytes=10_000))
    if known:
        http.feed(True, POST, (0,), (0,))
    for _ in range(300):
        for written in (True, False):
            http.feed(written, noise or b"x", (0,), (0,))
            # Two heads, or two tails of a search.
            assert http.held_bytes <= 2 * 8192 + 2 * 64


@given(noise, st.integers(1, 200))
def test_http_finds_its_feet_after_a_gap(garbage: bytes, lost: int) -> None:
    http = HttpConnection()
    request = b"POST /last HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok"
    http.feed(True, POST + b"4\r\nab", (0,), (1,))
    http.feed(False, plain(b"x" * 50)[:-5], (0,), (2,))
    http.feed(True, b"c" + garbage.replace(b"HTTP", b"").replace(b"\n", b""), (0,), (3,), lost=lost)
    http.feed(False, b"", (), (), lost=300)
    out = http.feed(True, b"\xff" * 40 + request, (0,), (4,))
    out += http.feed(False, plain(b"yes"), (0,), (5,))
    _, joined = merged(out)
    assert b"ok" in joined.values()
    assert b"yes" in joined.values()


sse_noise = st.lists(
    st.one_of(
        st.sampled_from(
            [b"data: ", b"\n", b"\r", b"\r\n", b"event: e", b"id: 1", b"\xef\xbb\xbf", b":"]
        ),
        st.binary(max_size=10),
    ),
    max_size=20,
).map(b"".join)
json_noise = st.lists(
    st.one_of(
        st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b",", b"\n", b"1", b'{"a": 1}']),
        st.binary(max_size=5),
    ),
    max_size=20,
).map(b"".join)


@given(st.one_of(sse_noise, json_noise, st.binary(max_size=60)), cuts)
def test_body_parsers_any_chunking_of_anything(stream: bytes, sizes: list[int]) -> None:
    for new in (SseParser, JsonStreamParser, EventStreamParser):
        whole, cut = new(), new()
        expected = [*whole.feed(stream), *whole.close()]
        parts = [message for part in slices(stream, sizes) for message in cut.feed(part)]
        assert parts + list(cut.close()) == expected


@given(st.lists(st.tuples(json_noise | sse_noise, st.integers(-1, 20)), max_size=10))
def test_body_parsers_with_gaps_never_raise(feeds: list[tuple[bytes, int]]) -> None:
    for parser in (SseParser(50), JsonStreamParser(50), EventStreamParser(50)):
        for data, lost in feeds:
            parser.feed(data, lost=lost)
            assert len(parser._buffer) <= 50 + len(data)
        parser.close()
        assert len(parser._buffer) == 0
