"""Requests on their way to another host."""

from __future__ import annotations

import itertools

import pytest
from agentsight_agent.backends.proxy.requests import NotHttpError, RequestStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FIRST = b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:9\r\nContent-Length: 5\r\n\r\nHost:"
CHUNKED = (
    b"POST /x HTTP/1.1\r\nA: b\r\nHost:127.0.0.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    b"5;x=y\r\nHost:\r\n0\r\nTrailer: 1\r\n\r\n"
)
WITHOUT_BODY = b"GET /v1/models HTTP/1.1\r\n\r\n"
SOCKET = b"GET /v1/realtime HTTP/1.1\r\nUpgrade: websocket\r\nHost: x\r\n\r\n\x81\x05Host: GET "


def expected(request: bytes) -> bytes:
    changed = {
        FIRST: request.replace(b"host: 127.0.0.1:9", b"Host: api.test"),
        CHUNKED: request.replace(b"Host:127.0.0.1", b"Host: api.test"),
        WITHOUT_BODY: request.replace(b"\r\n", b"\r\nHost: api.test\r\n", 1),
        SOCKET: request.replace(b"Host: x", b"Host: api.test"),
    }
    return changed[request]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(
    st.lists(st.sampled_from([FIRST, CHUNKED, WITHOUT_BODY]), max_size=4),
    st.booleans(),
    st.lists(st.integers(0, 600)),
)
def test_only_the_host_changes_however_the_bytes_come(
    requests: list[bytes], ends_as_socket: bool, cuts: list[int]
) -> None:
    requests = [*requests, SOCKET] if ends_as_socket else requests
    data = b"".join(requests)
    stream = RequestStream("api.test")
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    passed = b"".join(stream.feed(piece) for piece in pieces)
    assert passed == b"".join(expected(request) for request in requests)


def test_a_body_goes_on_at_once() -> None:
    stream = RequestStream("api.test")
    head, _, _ = FIRST.partition(b"\r\n\r\n")
    assert stream.feed(head) == b""
    assert stream.feed(b"\r\n\r\nH").endswith(b"\r\n\r\nH")
    assert stream.feed(b"o") == b"o"


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9000,
    ],
)
def test_what_is_no_http1_is_refused(data: bytes) -> None:
    with pytest.raises(NotHttpError):
        RequestStream("api.test").feed(data)
