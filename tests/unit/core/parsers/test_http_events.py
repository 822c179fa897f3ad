from __future__ import annotations

import pytest
from agentsight_core.parsers.http_events import MAX_BODY_EVENT_BYTES, Origin, to_events
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    RequestStarted,
    ResponseStarted,
)
from agentsight_core.pb import events_pb2 as pb

ORIGIN = Origin(
    connection=5,
    session=6,
    pid=7,
    tid=8,
    wall_offset_ns=1000,
    authority="sni.example",
    peer_address="192.0.2.1",
    peer_port=443,
)


def request(target: str, *headers: tuple[str, str], method: str = "GET") -> pb.HttpRequestStarted:
    (event,) = to_events(RequestStarted(3, 9, method, target, "1.1", headers), ORIGIN)
    return event.http_request_started


def test_request() -> None:
    (event,) = to_events(RequestStarted(3, 9, "GET", "/x", "1.1", (("host", "h"),)), ORIGIN)
    assert event == pb.Event(
        boot_ns=9,
        wall_ns=1009,
        session=6,
        pid=7,
        tid=8,
        http_request_started=pb.HttpRequestStarted(
            connection=5,
            exchange=3,
            method="GET",
            target="/x",
            scheme="https",
            authority="h",
            headers=[pb.Header(name="host", value="h")],
            version="1.1",
            peer_address="192.0.2.1",
            peer_port=443,
        ),
    )


@pytest.mark.parametrize(
    ("target", "headers", "method", "expected"),
    [
        ("/x", [], "GET", ("https", "sni.example")),
        ("http://a:80/x", [("host", "h")], "GET", ("http", "a:80")),
        ("http://me:pw@a?x=/", [], "GET", ("http", "a")),
        ("/x?u=http://a", [("host", "me@h")], "GET", ("https", "h")),
        ("a:443", [("host", "h")], "CONNECT", ("https", "a:443")),
    ],
)
def test_scheme_and_authority(
    target: str, headers: list[tuple[str, str]], method: str, expected: tuple[str, str]
) -> None:
    body = request(target, *headers, method=method)
    assert (body.scheme, body.authority) == expected


def test_response_and_end() -> None:
    (event,) = to_events(ResponseStarted(3, 9, 429, (("retry-after", "1"),)), ORIGIN)
    assert event.http_response_started == pb.HttpResponseStarted(
        connection=5, exchange=3, status=429, headers=[pb.Header(name="retry-after", value="1")]
    )
    finished = ExchangeFinished(
        exchange=3,
        time_ns=9,
        outcome=pb.HTTP_OUTCOME_GAP,
        error="why",
        request_bytes=1,
        response_bytes=2,
        lost_bytes=3,
        request_truncated=True,
        response_truncated=False,
        request_end_ns=4,
    )
    (event,) = to_events(finished, ORIGIN)
    assert event.http_finished == pb.HttpFinished(
        connection=5,
        exchange=3,
        outcome=pb.HTTP_OUTCOME_GAP,
        error="why",
        request_bytes=1,
        response_bytes=2,
        lost_bytes=3,
        request_truncated=True,
        request_end_boot_ns=4,
    )


def test_long_body_is_split_with_its_pieces() -> None:
    size = MAX_BODY_EVENT_BYTES
    part = BodyPart(3, pb.DIRECTION_RESPONSE, bytes(size + 10), (0, 100, size + 5), (1, 2, 3))
    first, second = to_events(part, ORIGIN)
    assert (first.boot_ns, second.boot_ns) == (1, 2)
    assert len(first.http_body.data) == size
    assert list(first.http_body.piece_offsets) == [0, 100]
    assert list(first.http_body.piece_boot_ns) == [1, 2]
    assert second.http_body.data == bytes(10)
    assert list(second.http_body.piece_offsets) == [0, 5]
    assert list(second.http_body.piece_boot_ns) == [2, 3]
