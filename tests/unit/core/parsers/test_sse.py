from __future__ import annotations

import pytest
from agentsight_core.parsers.messages import Malformed
from agentsight_core.parsers.sse import ServerSentEvent, SseParser


def parse(*parts: bytes) -> list[ServerSentEvent | Malformed]:
    parser = SseParser()
    return [event for part in parts for event in parser.feed(part)] + list(parser.close())


def test_fields() -> None:
    events = parse(b": hello\nevent: delta\nid: 7\nretry: 250\ndata: {}\n\ndata:x\n\n")
    assert events == [
        ServerSentEvent("delta", "{}", "7", 44, 250),
        ServerSentEvent("message", "x", "7", 53),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_all_line_ends_and_only_these(end: bytes) -> None:
    # U+2028, U+0085, vertical tab and form feed are content.
    data = "a\u2028b\u0085c\x0b\x0cd"
    stream = b"data: " + data.encode() + end + b"data: second" + end + end
    assert [e.data for e in parse(stream) if isinstance(e, ServerSentEvent)] == [data + "\nsecond"]


def test_line_end_cut_in_two() -> None:
    (event,) = parse(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n")
    assert isinstance(event, ServerSentEvent)
    assert event.data == "a\nb"


def test_byte_order_mark_and_offset() -> None:
    stream = b"\xef\xbb\xbfdata: a\n\nevent: e\ndata:  b\n\n"
    first, second = parse(stream)
    assert isinstance(first, ServerSentEvent)
    assert isinstance(second, ServerSentEvent)
    assert stream[first.offset :].startswith(b"a\n")
    assert stream[second.offset :].startswith(b" b\n")  # one space belongs to the field


def test_an_event_without_data_is_none() -> None:
    assert parse(b"event: ping\n\n:\n\n\n\n") == []


def test_data_without_a_colon_is_empty_data() -> None:
    (event,) = parse(b"data\n\n")
    assert isinstance(event, ServerSentEvent)
    assert event.data == ""


def test_the_last_event_needs_no_empty_line() -> None:
    (event,) = parse(b"data: [DONE]")
    assert isinstance(event, ServerSentEvent)
    assert event.data == "[DONE]"


def test_gap_skips_to_the_next_event() -> None:
    parser = SseParser()
    assert list(parser.feed(b'data: {"a"')) == []
    events = list(parser.feed(b'"tail"}\n\ndata: b\n\n', lost=5))
    assert events == [
        Malformed(0, 24, "bytes are missing"),
        ServerSentEvent("message", "b", "", 30),
    ]


def test_an_event_over_the_limit_is_skipped() -> None:
    parser = SseParser(max_event_bytes=20)
    events = [e for _ in range(10) for e in parser.feed(b"data: aaaaaaaaa\n")]
    events += parser.feed(b"\ndata: b\n\n")
    assert events == [
        Malformed(0, 161, "an event is longer than 20 bytes"),
        ServerSentEvent("message", "b", "", 167),
    ]
