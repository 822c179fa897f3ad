from __future__ import annotations

import struct
import zlib

from agentsight_core.parsers.eventstream import EventStreamMessage, EventStreamParser
from agentsight_core.parsers.messages import Malformed


def text(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + b"\x07" + struct.pack(">H", len(value)) + value


def message(headers: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    data = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return data + struct.pack(">I", zlib.crc32(data))


ONE = message(text(b":event-type", b"chunk") + text(b":message-type", b"event"), b'{"a": 1}')
TWO = message(text(b":event-type", b"stop"), b"{}")


def parse(*parts: bytes) -> list[EventStreamMessage | Malformed]:
    parser = EventStreamParser()
    return [item for part in parts for item in parser.feed(part)] + list(parser.close())


def test_messages() -> None:
    first, second = parse(ONE + TWO)
    assert isinstance(first, EventStreamMessage)
    assert isinstance(second, EventStreamMessage)
    assert first.header(":event-type") == "chunk"
    assert (first.payload, first.offset) == (b'{"a": 1}', 0)
    assert (second.payload, second.offset) == (b"{}", len(ONE))
    assert parse(*(bytes([byte]) for byte in ONE + TWO)) == [first, second]


def test_the_bytes_of_the_documented_layout() -> None:
    # Prelude 00 00 00 10, 00 00 00 00, its CRC 05 c2 48 eb, and the CRC of the empty message.
    empty = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")
    assert parse(empty) == [EventStreamMessage({}, b"", 0)]


def test_all_header_types() -> None:
    values = [
        (b"\x00", True),
        (b"\x01", False),
        (b"\x02\xff", -1),
        (b"\x03\x01\x00", 256),
        (b"\x04\x00\x00\x00\x05", 5),
        (b"\x05" + bytes(7) + b"\x06", 6),
        (b"\x06\x00\x02\xff\xfe", b"\xff\xfe"),
        (b"\x07\x00\x01a", "a"),
        (b"\x08" + bytes(7) + b"\x07", 7),
        (b"\x09" + bytes(16), bytes(16)),
    ]
    headers = b"".join(b"\x01" + b"%d" % n + raw for n, (raw, _) in enumerate(values))
    (found,) = parse(message(headers, b""))
    assert isinstance(found, EventStreamMessage)
    assert found.headers == {str(n): value for n, (_, value) in enumerate(values)}


def test_a_flipped_bit_costs_one_message() -> None:
    broken = bytearray(ONE)
    broken[-6] ^= 1
    skipped, found = parse(bytes(broken) + TWO)
    assert skipped == Malformed(0, len(ONE), "the checksum or the headers of a message are wrong")
    assert isinstance(found, EventStreamMessage)
    assert found.payload == b"{}"


def test_garbage_between_messages() -> None:
    first, skipped, second = parse(ONE + b"\0garbage\0\0" + TWO)
    assert isinstance(first, EventStreamMessage)
    assert skipped == Malformed(len(ONE), 10, "the prelude of a message is malformed")
    assert isinstance(second, EventStreamMessage)


def test_malformed_headers_with_a_right_checksum() -> None:
    (found,) = parse(message(b"\x05ab", b""))
    assert found == Malformed(0, 19, "the checksum or the headers of a message are wrong")


def test_gap() -> None:
    parser = EventStreamParser()
    assert list(parser.feed(ONE[:20])) == []
    skipped, rest, found = parser.feed(ONE[30:] + TWO, lost=10)
    assert skipped == Malformed(0, 20, "bytes are missing")
    assert isinstance(rest, Malformed)
    assert (rest.offset, rest.length) == (30, len(ONE) - 30)
    assert isinstance(found, EventStreamMessage)
    assert found.offset == len(ONE)


def test_the_end_within_a_message() -> None:
    assert parse(ONE[:-1]) == [Malformed(0, len(ONE) - 1, "the stream ends within a message")]
