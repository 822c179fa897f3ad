"""HTTP/1: framing, pairing, codings, times, and what happens when bytes are wrong or missing."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
import zstandard
from agentsight_core.parsers.http1 import HttpConnection, HttpSettings
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
    Role,
)
from agentsight_core.pb import events_pb2 as pb

GET = b"GET /v1/models HTTP/1.1\r\nHost: api.example\r\n\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\nHost: api.example\r\nContent-Length: 5\r\n\r\nhello"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Wire:
    """A connection of a client, fed with one piece a call, one nanosecond apart."""

    def __init__(self, **settings: int) -> None:
        self.http = HttpConnection(HttpSettings(**settings))
        self.now_ns = 0
        self.messages: list[HttpMessage] = []

    def send(self, data: bytes, lost: int = 0) -> Wire:
        return self._feed(True, data, lost)

    def receive(self, data: bytes, lost: int = 0) -> Wire:
        return self._feed(False, data, lost)

    def _feed(self, written: bool, data: bytes, lost: int) -> Wire:
        self.now_ns += 1
        pieces = ((0,), (self.now_ns,)) if data else ((), ())
        self.messages += self.http.feed(written, data, *pieces, lost=lost)
        self.check_accounts()
        return self

    def close(self, outcome: pb.HttpOutcome = pb.HTTP_OUTCOME_ABORTED) -> Wire:
        self.now_ns += 1
        self.messages += self.http.close(self.now_ns, outcome)
        self.check_accounts()
        assert self.http.held_bytes == 0
        return self

    def check_accounts(self) -> None:
        http = self.http
        assert http.bytes_in == http.bytes_parsed + sum(http.skipped.values()) + http.held_bytes

    def body(self, direction: pb.Direction, exchange: int = 0) -> bytes:
        parts = [m for m in self.messages if isinstance(m, BodyPart)]
        return b"".join(m.data for m in parts if (m.direction, m.exchange) == (direction, exchange))

    def request(self, exchange: int = 0) -> bytes:
        return self.body(pb.DIRECTION_REQUEST, exchange)

    def response(self, exchange: int = 0) -> bytes:
        return self.body(pb.DIRECTION_RESPONSE, exchange)

    @property
    def finished(self) -> list[ExchangeFinished]:
        return [m for m in self.messages if isinstance(m, ExchangeFinished)]

    @property
    def outcomes(self) -> list[int]:
        return [m.outcome for m in self.finished]


COMPLETE = pb.HTTP_OUTCOME_COMPLETE
GAP = pb.HTTP_OUTCOME_GAP
MALFORMED = pb.HTTP_OUTCOME_MALFORMED


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def response(headers: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + body


def test_request_and_response_with_times() -> None:
    wire = Wire().send(POST).receive(OK)
    head, body, answer, content, end = wire.messages
    assert isinstance(head, RequestStarted)
    assert (head.method, head.target, head.version) == ("POST", "/v1/messages", "1.1")
    assert head.headers == (("host", "api.example"), ("content-length", "5"))
    assert body == BodyPart(0, pb.DIRECTION_REQUEST, b"hello", (0,), (1,))
    assert isinstance(answer, ResponseStarted)
    assert (answer.status, answer.time_ns) == (200, 2)
    assert content == BodyPart(0, pb.DIRECTION_RESPONSE, b"hi", (0,), (2,))
    assert isinstance(end, ExchangeFinished)
    assert (end.outcome, end.error, end.time_ns, end.request_end_ns) == (COMPLETE, "", 2, 1)
    assert (end.request_bytes, end.response_bytes) == (5, 2)


def test_role_of_both_ends_and_of_other_protocols() -> None:
    assert Wire().send(POST).http.role is Role.CLIENT
    assert Wire().receive(POST).http.role is Role.SERVER
    assert Wire().receive(OK).http.role is Role.CLIENT
    assert Wire().send(OK).http.role is Role.SERVER
    http2 = Wire().send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").receive(b"\0\0\0\4")
    assert (http2.http.role, http2.http.not_http_reason) == (Role.NOT_HTTP, "http2")
    assert http2.http.skipped == {"not_http": 28}
    other = Wire(max_search_bytes=100_000).send(b"\x16\x03\x01" * 50_000)
    assert (other.http.role, other.http.not_http_reason) == (Role.NOT_HTTP, "unknown protocol")


def test_role_from_single_bytes() -> None:
    wire = Wire()
    for byte in POST:
        wire.send(bytes([byte]))
    assert wire.http.role is Role.CLIENT
    assert wire.request() == b"hello"


def test_connection_joined_in_its_middle() -> None:
    wire = Wire().receive(b'er part of an answer"}').send(POST).receive(OK)
    assert wire.outcomes == [COMPLETE]
    assert wire.http.skipped == {"before_first_head": 22}
    wire = Wire().receive(b'"tail"}\r\n' + OK)
    assert wire.http.skipped == {"before_first_head": 9}


def test_pipelining_keeps_the_order() -> None:
    wire = Wire().send(GET + POST + GET).receive(response(b"content-length: 1\r\n", b"a") + OK)
    wire.receive(response(b"content-length: 1\r\n", b"c"))
    assert [wire.response(n) for n in range(3)] == [b"a", b"hi", b"c"]
    assert wire.outcomes == [COMPLETE] * 3


def test_server_role_reads_requests() -> None:
    wire = Wire().receive(POST).send(OK)
    assert (wire.request(), wire.response(), wire.outcomes) == (b"hello", b"hi", [COMPLETE])


def test_chunks_with_extensions_and_trailers_keep_arrival_times() -> None:
    wire = Wire().send(GET)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [head, b'5;name="v"\r\nabc', b"de\r\n3\r", b"\n", b"fgh\r\n0\r\nX-T: 1\r\n\r\n"]
    offsets = [sum(map(len, pieces[:n])) for n in range(len(pieces))]
    messages = wire.http.feed(False, b"".join(pieces), offsets, [10, 20, 30, 40, 50])
    (part,) = [m for m in messages if isinstance(m, BodyPart)]
    # The piece with nothing but a line end has no bytes in the body.
    assert part == BodyPart(0, pb.DIRECTION_RESPONSE, b"abcdefgh", (0, 3, 5), (20, 30, 50))
    assert isinstance(messages[-1], ExchangeFinished)
    assert messages[-1].time_ns == 50


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"HEAD / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_responses_without_a_body(request_bytes: bytes, answer: bytes) -> None:
    wire = Wire().send(request_bytes).receive(answer).send(GET).receive(OK)
    assert wire.outcomes == [COMPLETE, COMPLETE]
    assert wire.response(1) == b"hi"


def test_body_until_close() -> None:
    wire = (
        Wire()
        .send(b"GET / HTTP/1.0\r\n\r\n")
        .receive(b"HTTP/1.0 200 OK\r\n\r\nsome")
        .receive(b"thing")
    )
    assert wire.outcomes == []
    assert wire.close().outcomes == [COMPLETE]
    assert wire.response() == b"something"


def test_watcher_that_stops_does_not_say_complete() -> None:
    wire = (
        Wire().send(GET).receive(b"HTTP/1.0 200 OK\r\n\r\nsome").close(pb.HTTP_OUTCOME_UNFINISHED)
    )
    assert wire.outcomes == [pb.HTTP_OUTCOME_UNFINISHED]


def test_connection_closed_early() -> None:
    wire = Wire().send(GET).receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").close()
    assert wire.outcomes == [pb.HTTP_OUTCOME_ABORTED]
    assert wire.response() == b"half"
    assert wire.finished[0].error == "the connection ended before the response did"


def test_continue_and_its_refusal() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    wire = Wire().send(head).receive(b"HTTP/1.1 100 Continue\r\n\r\n").send(b"hello").receive(OK)
    assert (wire.request(), wire.outcomes) == (b"hello", [COMPLETE])
    refused = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
    wire = Wire().send(head).receive(refused).send(GET).receive(OK)
    assert wire.outcomes == [COMPLETE, COMPLETE]
    assert wire.response(1) == b"hi"


def test_response_before_the_request_has_ended() -> None:
    wire = Wire().send(POST[:-3]).receive(OK)
    assert wire.outcomes == []
    assert wire.send(b"llo").outcomes == [COMPLETE]


def test_response_that_is_fed_before_its_request() -> None:
    wire = Wire().send(GET).receive(OK + OK).send(GET)
    assert wire.outcomes == [COMPLETE, COMPLETE]


def test_response_without_a_request() -> None:
    wire = Wire().receive(OK).receive(OK)
    wire.close()
    assert wire.outcomes == [GAP, GAP]
    assert wire.response(0) == wire.response(1) == b"hi"
    assert wire.finished[0].error == "the request is missing from the capture"


@pytest.mark.parametrize("connect", [False, True])
def test_upgrade_ignores_and_counts_the_rest(connect: bool) -> None:
    if connect:
        request, answer = b"CONNECT a:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"
    else:
        request = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n"
    # The frame of the client is fed before the answer is.
    wire = Wire().send(request + b"\x81\x05hello").receive(answer + b"\x81\x02hi").send(b"\x88\0")
    assert wire.outcomes == [pb.HTTP_OUTCOME_UPGRADED]
    assert wire.http.skipped == {"upgraded": 13}


def test_upgrade_that_is_declined() -> None:
    request = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    wire = Wire().send(request + GET).receive(OK + OK)
    assert wire.outcomes == [COMPLETE, COMPLETE]


def test_folded_headers_bare_line_feeds_and_leading_line_ends() -> None:
    wire = Wire().send(b"\r\n\nGET / HTTP/1.1\nX-Long: a\n  b\nHost:h\n\n").receive(OK)
    head = wire.messages[0]
    assert isinstance(head, RequestStarted)
    assert head.headers == (("x-long", "a b"), ("host", "h"))
    assert wire.outcomes == [COMPLETE]


TEXT = b'{"text": "' + b"so it goes " * 500 + b'"}'


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]),
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_content_codings(coding: str, step: int) -> None:
    body = CODINGS[coding](TEXT)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
    stream = head % (coding.encode(), len(body)) + body
    wire = Wire().send(GET)
    for start in range(0, len(stream), step):
        wire.receive(stream[start : start + step])
    assert wire.response() == TEXT
    assert (wire.finished[0].outcome, wire.finished[0].error) == (COMPLETE, "")
    assert wire.finished[0].response_bytes == len(body)


def test_decoded_pieces_keep_their_times() -> None:
    coder = zlib.compressobj(wbits=31)
    first = coder.compress(b"data: one\n\n") + coder.flush(zlib.Z_SYNC_FLUSH)
    second = coder.compress(b"data: two\n\n") + coder.flush()
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    wire = Wire().send(GET)
    stream = head + first + second
    offsets = [0, len(head), len(head) + len(first), len(head) + len(first) + len(second) - 4]
    messages = wire.http.feed(False, stream, offsets, [1, 2, 3, 4])
    (part,) = [m for m in messages if isinstance(m, BodyPart)]
    assert (part.data, part.offsets, part.times_ns) == (
        b"data: one\n\ndata: two\n\n",
        (0, 11),
        (2, 3),
    )


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "gzip, br"])
def test_bombs_are_cut_and_the_rest_is_framed(coding: str) -> None:
    bomb = CODINGS[coding](bytes(3_000_000))
    head = b"Content-Encoding: %b\r\nContent-Length: %d\r\n" % (coding.encode(), len(bomb))
    wire = (
        Wire(max_body_bytes=100_000).send(GET).receive(response(head, bomb)).send(GET).receive(OK)
    )
    assert len(wire.response()) <= 100_000
    assert wire.finished[0].response_truncated
    assert wire.response(1) == b"hi"


def test_broken_coding_is_marked_and_the_rest_is_framed() -> None:
    body = b"this is not gzip"
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % (len(body) + 5)
    wire = Wire().send(GET).receive(response(head, body)).receive(b"12345").send(GET).receive(OK)
    assert wire.outcomes == [MALFORMED, COMPLETE]
    assert wire.finished[0].error == "response body: not a valid deflate stream"
    assert wire.http.skipped == {"undecodable": 5}


def test_unknown_coding_is_not_kept() -> None:
    wire = (
        Wire()
        .send(GET)
        .receive(response(b"Content-Encoding: aes\r\nContent-Length: 3\r\n", b"abc"))
    )
    assert wire.response() == b""
    assert wire.finished[0].response_truncated
    assert wire.finished[0].error == "response body: unknown content coding"
    assert wire.http.skipped == {"undecodable": 3}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (response(b"Content-Length: 1, 2\r\n", b"x"), "response: Content-Length is malformed"),
        (response(b"Content-Length: -1\r\n", b"x"), "response: Content-Length is malformed"),
        (
            response(b"Transfer-Encoding: chunked\r\n", b"zz\r\n"),
            "response: a chunk-size line is malformed",
        ),
        (
            response(b"Transfer-Encoding: chunked\r\n", b"2\r\nabc\r\n"),
            "response: a chunk is longer than its size says",
        ),
    ],
)
def test_broken_framing_is_marked_and_the_next_head_found(answer: bytes, error: str) -> None:
    wire = Wire().send(GET).receive(answer).send(GET).receive(OK)
    assert (wire.finished[0].outcome, wire.finished[0].error) == (MALFORMED, error)
    assert wire.outcomes == [MALFORMED, COMPLETE]
    assert wire.response(1) == b"hi"


def test_garbage_before_a_request() -> None:
    wire = Wire().send(GET).receive(OK).send(b"\xff\xfe garbage\r\n\r\n" + POST).receive(OK)
    assert (wire.outcomes, wire.request(1)) == ([COMPLETE, COMPLETE], b"hello")
    assert wire.http.skipped == {"malformed_head": 14}


def test_head_over_the_limit() -> None:
    wire = Wire(max_head_bytes=1000).send(GET).receive(OK)
    wire.send(b"GET / HTTP/1.1\r\nX: " + b"a" * 2000).send(b"\r\n\r\n" + POST).receive(OK)
    assert wire.outcomes == [COMPLETE, COMPLETE]
    assert wire.http.skipped["head_limit"] > 2000


def test_gap_inside_a_body_of_known_length_keeps_the_frame() -> None:
    wire = Wire().send(GET).receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    wire.receive(b"hij", lost=4).send(GET).receive(OK)
    assert wire.outcomes == [GAP, COMPLETE]
    assert wire.response() == b"abchij"
    assert wire.finished[0].lost_bytes == 4
    assert wire.finished[0].error == "response: 4 bytes are missing at offset 3 of the body"


def test_gap_over_the_end_of_a_body() -> None:
    wire = Wire().send(POST[:-2])
    # The last 2 bytes of the body and the first 9 of the next request are missing.
    wire.send(GET[9:] + POST, lost=11).receive(OK)
    assert wire.outcomes[0] == GAP
    assert wire.finished[0].lost_bytes == 2
    assert wire.http.skipped["gap"] == len(GET) - 9


def test_gap_of_whole_chunks_is_resumed() -> None:
    body = chunked(b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n")
    first, second = body[:14], body[28:]
    wire = Wire().send(GET).receive(response(b"Transfer-Encoding: chunked\r\n", first))
    wire.receive(second, lost=14)
    assert wire.response() == b"data: 1\n\ndata: 3\n\n"
    assert wire.outcomes == [GAP]
    assert wire.finished[0].lost_bytes == 14


def test_gap_in_a_coded_body_stops_its_decoding() -> None:
    body = gzip.compress(TEXT)
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % len(body)
    wire = Wire().send(GET).receive(response(head, body[:50])).receive(body[60:], lost=10)
    assert wire.outcomes == [GAP]
    assert TEXT.startswith(wire.response())
    assert wire.finished[0].response_truncated


def test_lost_response_does_not_shift_the_pairing() -> None:
    wire = Wire().send(GET).receive(b"", lost=len(OK)).send(POST)
    wire.receive(response(b"Content-Length: 3\r\n", b"two"))
    assert wire.outcomes == [GAP, COMPLETE]
    assert wire.response(1) == b"two"
    assert wire.finished[0].lost_bytes == len(OK)


def test_lost_request_does_not_shift_the_pairing() -> None:
    wire = Wire().send(GET).receive(OK).send(b"", lost=len(GET))
    wire.receive(response(b"Content-Length: 3\r\n", b"two")).send(POST)
    wire.receive(response(b"Content-Length: 5\r\n", b"three"))
    by_exchange = {m.exchange: m.outcome for m in wire.finished}
    posted = next(m for m in wire.messages if isinstance(m, RequestStarted) and m.method == "POST")
    assert wire.response(posted.exchange) == b"three"
    assert by_exchange[posted.exchange] == COMPLETE
    assert sorted(by_exchange.values()) == [COMPLETE, COMPLETE, GAP]


def test_unknown_number_of_lost_bytes() -> None:
    wire = Wire().send(GET).receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    wire.receive(b"hij" + OK, lost=-1)
    wire.send(GET).receive(OK)
    assert wire.finished[0].outcome == GAP
    assert wire.outcomes[-1] == COMPLETE


def test_requests_without_responses_are_bounded() -> None:
    wire = Wire(max_open_exchanges=4)
    for _ in range(10):
        wire.send(GET)
    assert wire.outcomes == [GAP] * 6
    assert wire.close().outcomes == [GAP] * 6 + [pb.HTTP_OUTCOME_ABORTED] * 4


def test_bytes_after_close_are_counted() -> None:
    wire = Wire().send(GET).close()
    wire.send(b"more")
    assert wire.http.skipped == {"closed": 4}
    assert wire.http.close(9) == []
