"""Server-sent events at the byte level (WHATWG HTML, section 9.2.6 "Interpreting an event stream").

Must not split on anything but CR, LF and CRLF: U+2028 within a line is content. Must not know JSON.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from agentsight_core.parsers.messages import Malformed

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 16 * 1024 * 1024


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event; `offset` is where in the stream the first byte of its data lies."""

    # "message" when the stream names none.
    event: str
    # Several data lines are joined by LF; invalid UTF-8 is replaced, as the standard asks.
    data: str
    # The last id that the stream has given, "" before the first one.
    id: str
    offset: int
    # Milliseconds to wait before a reconnection, if this event's block says so.
    retry_ms: int | None = None


class SseParser:
    """Splits a body into events; holds at most one event of `max_event_bytes`."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        # Offset in the stream of the first byte of `_buffer`.
        self._offset = 0
        self._scanned = 0
        self._after_cr = False
        self._first_line = True
        # Why the lines up to the next empty one are skipped; "" when they are not.
        self._skipping = ""
        self._last_id = ""
        # The event so far, and where in the stream it and its data begin.
        self._start = 0
        self._event = b""
        self._data: list[bytes] = []
        self._data_at = 0
        self._retry_ms: int | None = None

    def feed(self, data: bytes, *, lost: int = 0) -> Sequence[ServerSentEvent | Malformed]:
        """Take the next bytes of the body; see `Parser`."""
        out: list[ServerSentEvent | Malformed] = []
        if lost:
            self._lose(lost)
        self._buffer += data
        self._read_lines(out)
        pending_bytes = self._offset + len(self._buffer) - self._start
        if pending_bytes > self._max_event_bytes:
            if not self._skipping:
                self._skipping = f"an event is longer than {self._max_event_bytes} bytes"
                self._data = []
            self._drop_buffer()
        return out

    def close(self) -> Sequence[ServerSentEvent | Malformed]:
        """End the stream. An event without its empty line counts: some servers never send one."""
        out: list[ServerSentEvent | Malformed] = []
        if self._buffer:
            self._line(bytes(self._buffer), self._offset)
            self._drop_buffer()
        self._dispatch(out, self._offset)
        return out

    def _lose(self, lost: int) -> None:
        """Skip to the next event: the rest of the current one cannot be trusted."""
        self._skipping = "bytes are missing"
        self._drop_buffer()
        self._offset += max(lost, 0)
        self._after_cr = False
        self._data = []

    def _drop_buffer(self) -> None:
        self._offset += len(self._buffer)
        self._buffer.clear()
        self._scanned = 0

    def _read_lines(self, out: list[ServerSentEvent | Malformed]) -> None:
        buffer = self._buffer
        start = 0
        if self._after_cr and buffer:
            self._after_cr = False
            start = 1 if buffer[0] == 0x0A else 0
        for match in _LINE_END.finditer(buffer, max(start, self._scanned)):
            line = bytes(buffer[start : match.start()])
            position = self._offset + start
            start = match.end()
            if line:
                self._line(line, position)
            else:
                self._dispatch(out, self._offset + start)
        if start and start == len(buffer) and buffer[-1] == 0x0D:
            self._after_cr = True
        del buffer[:start]
        self._offset += start
        self._scanned = len(buffer)

    def _line(self, line: bytes, position: int) -> None:
        if self._first_line:
            self._first_line = False
            if line.startswith(_BOM):
                line, position = line[3:], position + 3
        if not self._skipping:
            self._field(line, position)

    def _field(self, line: bytes, position: int) -> None:
        name, colon, value = line.partition(b":")
        value_at = position + len(name) + len(colon)
        if value[:1] == b" ":
            value, value_at = value[1:], value_at + 1
        if name == b"data":
            if not self._data:
                self._data_at = value_at
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._last_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 12:
            self._retry_ms = int(value)

    def _dispatch(self, out: list[ServerSentEvent | Malformed], end: int) -> None:
        if self._skipping:
            out.append(Malformed(self._start, end - self._start, self._skipping))
            self._skipping = ""
        elif self._data:
            out.append(
                ServerSentEvent(
                    event=self._event.decode("utf-8", "replace") or "message",
                    data=b"\n".join(self._data).decode("utf-8", "replace"),
                    id=self._last_id,
                    offset=self._data_at,
                    retry_ms=self._retry_ms,
                )
            )
        self._begin(end)

    def _begin(self, start: int) -> None:
        """Forget the event so far; the next one begins at `start` of the stream."""
        self._start = start
        self._event = b""
        self._data = []
        self._data_at = start
        self._retry_ms = None
