"""AWS event streams, application/vnd.amazon.eventstream: prelude, typed headers, payload, CRCs.

Source: the "Event stream encoding" page of the Amazon Transcribe guide; Bedrock uses the same. Must
not interpret the payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import msgspec

from agentsight_core.parsers.messages import Malformed

# Total length, headers length, CRC-32 of these two; then headers, payload, CRC-32 of all before.
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD_BYTES = _PRELUDE.size + _CRC.size
# The first byte of the total length is 0 in every message up to here.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024 - 1
# Header value types: 0 true, 1 false, 2 to 5 integers, 6 bytes, 7 string, 8 timestamp, 9 uuid.
_INTEGER_BYTES = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}
_BYTES, _STRING, _UUID = 6, 7, 9

HeaderValue = str | bytes | int | bool


class EventStreamMessage(msgspec.Struct, frozen=True):
    """One message; `offset` is where in the stream its prelude begins."""

    headers: dict[str, HeaderValue]
    payload: bytes
    offset: int

    def header(self, name: str) -> str:
        """Return the text header `name` (":event-type", ":message-type"…), or ""."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


class EventStreamParser:
    """Splits a body into messages; holds at most one of `max_message_bytes`."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = min(max_message_bytes, MAX_MESSAGE_BYTES)
        self._buffer = bytearray()
        # Offset in the stream of the first byte of `_buffer`.
        self._offset = 0
        # So many bytes before `_buffer` belong to no message, and why.
        self._skipped_bytes = 0
        self._reason = ""

    def feed(self, data: bytes, *, lost: int = 0) -> Sequence[EventStreamMessage | Malformed]:
        """Take the next bytes of the body; see `Parser`."""
        out: list[EventStreamMessage | Malformed] = []
        if lost:
            self._skip(len(self._buffer), "bytes are missing")
            self._report(out)
            self._offset += max(lost, 0)
        self._buffer += data
        while self._step(out):
            pass
        return out

    def close(self) -> Sequence[EventStreamMessage | Malformed]:
        """End the stream; an unfinished message is malformed."""
        out: list[EventStreamMessage | Malformed] = []
        self._skip(len(self._buffer), "the stream ends within a message")
        self._report(out)
        return out

    def _step(self, out: list[EventStreamMessage | Malformed]) -> bool:
        """Read the next message or skip to where one could begin; False when bytes are missing."""
        if len(self._buffer) < _PRELUDE.size:
            return False
        total, headers_bytes, crc = _PRELUDE.unpack_from(self._buffer)
        if not self._plausible(total, headers_bytes, crc):
            self._skip(self._next_candidate(), "the prelude of a message is malformed")
            return True
        if len(self._buffer) < total:
            return False
        message = bytes(self._buffer[:total])
        headers = None
        if zlib.crc32(message[: -_CRC.size]) == _CRC.unpack_from(message, total - _CRC.size)[0]:
            headers = _headers(message[_PRELUDE.size : _PRELUDE.size + headers_bytes])
        if headers is None:
            self._skip(total, "the checksum or the headers of a message are wrong")
            return True
        self._report(out)
        payload = message[_PRELUDE.size + headers_bytes : -_CRC.size]
        out.append(EventStreamMessage(headers, payload, self._offset))
        self._advance(total)
        return True

    def _plausible(self, total: int, headers_bytes: int, crc: int) -> bool:
        return (
            _OVERHEAD_BYTES + headers_bytes <= total <= self._max_message_bytes
            and zlib.crc32(self._buffer[:8]) == crc
        )

    def _next_candidate(self) -> int:
        """Return how many bytes to skip: a message begins with a zero byte."""
        position = self._buffer.find(b"\0", 1)
        return position if position > 0 else len(self._buffer)

    def _advance(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count

    def _skip(self, count: int, reason: str) -> None:
        if count:
            self._reason = self._reason or reason
            self._skipped_bytes += count
            self._advance(count)

    def _report(self, out: list[EventStreamMessage | Malformed]) -> None:
        """Say what was skipped before the current position."""
        if self._skipped_bytes:
            start = self._offset - self._skipped_bytes
            out.append(Malformed(start, self._skipped_bytes, self._reason))
        self._skipped_bytes = 0
        self._reason = ""


def _headers(data: bytes) -> dict[str, HeaderValue] | None:
    """Return the headers encoded in `data`, None if they are malformed."""
    headers: dict[str, HeaderValue] = {}
    position = 0
    try:
        while position < len(data):
            name_end = position + 1 + data[position]
            name = data[position + 1 : name_end].decode("utf-8")
            value, position = _value(data, data[name_end], name_end + 1)
            headers[name] = value
    except (IndexError, struct.error, UnicodeDecodeError):
        return None
    return headers if position == len(data) else None


def _value(data: bytes, kind: int, start: int) -> tuple[HeaderValue, int]:
    """Return the header value of type `kind` at `start`, and where it ends."""
    if kind < 2:
        return kind == 0, start
    if kind in _INTEGER_BYTES:
        end = start + _INTEGER_BYTES[kind]
        return int.from_bytes(data[start:end], "big", signed=True), end
    if kind == _UUID:
        return data[start : start + 16], start + 16
    if kind not in (_BYTES, _STRING):
        raise IndexError(kind)
    start, size = start + 2, struct.unpack_from(">H", data, start)[0]
    raw = data[start : start + size]
    return raw.decode("utf-8") if kind == _STRING else raw, start + size
