"""JSON-RPC 2.0 over a byte stream: one JSON text a line, as MCP's stdio transport has it.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports: UTF-8, no line feed
within a message. Must not know MCP, sessions or redaction. Every byte is counted: bytes_in = those
of lines that came out (line ends included) + skipped + held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from agentsight_core.parsers.pieces import time_at

VERSION = "2.0"
MAX_LINE_BYTES = 16 * 1024 * 1024
# What of params and result says what was called, but not with what.
_PARAMS = ("name", "uri", "protocolVersion", "requestId", "progressToken")
_RESULT = ("protocolVersion", "isError", "resultType")


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end; `time_ns` is when its last byte was moved."""

    time_ns: int
    data: bytes
    # With the line end, as on the wire; more than `data` when it was too long to be kept.
    size: int
    # Bytes that are missing before it, or within it; -1 if nobody knows how many.
    lost_bytes: int = 0


class LineSplitter:
    """One direction of a stream; holds at most one line of `max_line_bytes`."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray()
        self._lost = 0
        # Length so far of a line that is too long; 0 = the line is kept.
        self._overlong = 0
        self.bytes_in = 0
        self.bytes_out = 0
        # Bytes of empty lines, and of lines whose content was too long to be kept.
        self.skipped: dict[str, int] = {}

    @property
    def held_bytes(self) -> int:
        """Bytes of a line that has not ended."""
        return len(self._buffer)

    def feed(
        self, data: bytes, offsets: Sequence[int], times_ns: Sequence[int], *, lost: int = 0
    ) -> list[Line]:
        """Take the next run; `lost` bytes are missing before it. Return the lines that ended."""
        self.bytes_in += len(data)
        if lost:
            self._lose(lost)
        lines: list[Line] = []
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._add(data[start:end])
            self._end_line(time_at(offsets, times_ns, end), lines)
            start = end + 1
        self._add(data[start:])
        return lines

    def close(self, time_ns: int) -> list[Line]:
        """End the stream; a last line needs no line end."""
        lines: list[Line] = []
        if self._buffer or self._overlong:
            self._end_line(time_ns, lines, line_end=0)
        return lines

    def _add(self, data: bytes) -> None:
        if self._overlong:
            self._overlong += len(data)
            self._skip("too long", len(data))
            return
        self._buffer += data
        if len(self._buffer) > self._max_line_bytes:
            self._overlong = len(self._buffer)
            self._skip("too long", len(self._buffer))
            self._buffer.clear()

    def _end_line(self, time_ns: int, lines: list[Line], line_end: int = 1) -> None:
        kept = bytes(self._buffer)
        self._buffer.clear()
        size = (self._overlong or len(kept)) + line_end
        if not self._overlong and not kept.strip():
            self._skip("empty line", size)
            return
        if self._overlong:
            self._skip("too long", line_end)
        else:
            self.bytes_out += size
        lines.append(Line(time_ns, kept.strip(), size, self._lost))
        self._overlong = self._lost = 0

    def _lose(self, lost: int) -> None:
        """Forget the line that the gap has cut: its rest, if there is one, is no JSON."""
        self._skip("cut by a gap", len(self._buffer))
        self._buffer.clear()
        self._lost = -1 if lost < 0 or self._lost < 0 else self._lost + lost

    def _skip(self, reason: str, count: int) -> None:
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count


class _Envelope(msgspec.Struct):
    jsonrpc: str = ""


def is_message(data: bytes) -> bool:
    """Tell whether `data` is a JSON-RPC 2.0 message, or a batch of them."""
    try:
        if data[:1] == b"[":
            batch = msgspec.json.decode(data, type=list[_Envelope])
            return bool(batch) and all(item.jsonrpc == VERSION for item in batch)
        return msgspec.json.decode(data, type=_Envelope).jsonrpc == VERSION
    except (msgspec.DecodeError, RecursionError):
        return False


def envelope(data: bytes) -> bytes:
    """Return the message `data` without its content: what was called, with which id, how it went.

    Names of tools and prompts and addresses of resources stay, arguments and results do not; b""
    for what is no JSON.
    """
    try:
        message = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return b""
    if isinstance(message, list):
        return msgspec.json.encode([_outline(item) for item in message])
    return msgspec.json.encode(_outline(message))


def _outline(message: object) -> dict[str, object]:
    if not isinstance(message, dict):
        return {}
    kept = {key: message[key] for key in ("jsonrpc", "id", "method") if key in message}
    for key, names in (("params", _PARAMS), ("result", _RESULT), ("error", ("code",))):
        part = message.get(key)
        if isinstance(part, dict):
            kept[key] = {name: part[name] for name in names if _is_plain(part.get(name))}
    return kept


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | bool)
