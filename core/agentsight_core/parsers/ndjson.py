"""Streams of JSON values: one a line (Ollama, NDJSON), or the elements of one array (Gemini).

Which of the two it is tells the first byte. Must not interpret the values; only their syntax is
checked (RFC 8259).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from agentsight_core.parsers.messages import Malformed

MAX_VALUE_BYTES = 16 * 1024 * 1024
_OUTSIDE = re.compile(rb'["{}\[\],]')
_IN_STRING = re.compile(rb'["\\]')
# A comma that begins a line, and an object. Within a string no raw LF can stand.
_SEPARATOR = re.compile(rb"\n,[ \t\r\n]{0,16}\{")
_SEPARATOR_BYTES = 18
_SPACE = b" \t\r\n"
_OPEN, _CLOSE = b"{[", b"}]"


class JsonText(msgspec.Struct, frozen=True, gc=False):
    """One JSON value as text; `offset` is where in the stream it begins."""

    data: bytes
    offset: int


class JsonStreamParser:
    """Splits a body into JSON values; holds at most one of `max_value_bytes`."""

    def __init__(self, max_value_bytes: int = MAX_VALUE_BYTES) -> None:
        self._max_value_bytes = max_value_bytes
        self._buffer = bytearray()
        # Offset in the stream of the first byte of `_buffer`.
        self._offset = 0
        self._scanned = 0
        self._array: bool | None = None
        # In an array: nesting within the current element, and whether a string is open.
        self._depth = 0
        self._in_string = False
        # In an array, behind a gap: the nesting is unknown.
        self._lost_nesting = False
        # Why the current value is given up, and where it began.
        self._skipping = ""
        self._skip_from = 0

    def feed(self, data: bytes, *, lost: int = 0) -> Sequence[JsonText | Malformed]:
        """Take the next bytes of the body; see `Parser`."""
        out: list[JsonText | Malformed] = []
        if lost:
            self._lose(lost)
        self._buffer += data
        if self._array is None and not self._choose():
            return out
        if self._array:
            self._read_elements(out)
        else:
            self._read_lines(out)
        if len(self._buffer) > self._max_value_bytes:
            self._give_up(f"a value is longer than {self._max_value_bytes} bytes")
        return out

    def close(self) -> Sequence[JsonText | Malformed]:
        """End the stream; a last line needs no line end, but an array element has to be whole."""
        out: list[JsonText | Malformed] = []
        if self._buffer.strip(_SPACE) or self._skipping:
            self._emit(out, bytes(self._buffer), self._offset)
        self._consume(len(self._buffer))
        return out

    def _choose(self) -> bool:
        """Decide between lines and an array; False when there was only space so far."""
        stripped = self._buffer.lstrip(_SPACE)
        if not stripped:
            self._consume(len(self._buffer))
            return False
        self._array = stripped[:1] == b"["
        if self._array:
            self._consume(len(self._buffer) - len(stripped) + 1)
        return True

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count
        self._scanned = 0

    def _give_up(self, reason: str) -> None:
        """Skip the current value; it is reported where it ends."""
        if not self._skipping:
            self._skipping, self._skip_from = reason, self._offset
        # Its nesting is followed on, so that its end can be found.
        self._consume(len(self._buffer))

    def _lose(self, lost: int) -> None:
        """Skip to the next line; in an array, to the next line that begins with a comma."""
        if self._array is None:
            self._array = False
        self._give_up("bytes are missing")
        self._offset += max(lost, 0)
        self._lost_nesting = self._array

    def _read_lines(self, out: list[JsonText | Malformed]) -> None:
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._scanned))) >= 0:
            line = bytes(self._buffer[start:end])
            if self._skipping or line.strip(_SPACE):
                self._emit(out, line, self._offset + start)
            start = end + 1
        self._consume(start)
        self._scanned = len(self._buffer)

    def _read_elements(self, out: list[JsonText | Malformed]) -> None:
        """Cut at the commas and the bracket of the top-level array, strings left alone."""
        if self._lost_nesting and not self._find_separator():
            return
        start = 0
        while (cut := self._next_cut()) >= 0:
            element = bytes(self._buffer[start:cut])
            if self._skipping or element.strip(_SPACE):
                self._emit(out, element, self._offset + start)
            start = cut + 1
        scanned = self._scanned
        self._consume(start)
        self._scanned = scanned - start

    def _next_cut(self) -> int:
        """Scan on for a comma or bracket of the top-level array; return where it is, or -1."""
        buffer = self._buffer
        while match := (_IN_STRING if self._in_string else _OUTSIDE).search(buffer, self._scanned):
            token = match[0]
            self._scanned = match.end()
            if token == b"\\":
                if self._scanned == len(buffer):
                    self._scanned -= 1  # what it escapes is still to come
                    return -1
                self._scanned += 1
            elif token == b'"':
                self._in_string = not self._in_string
            elif token in _OPEN:
                self._depth += 1
            elif self._depth == 0:
                return match.start()
            elif token in _CLOSE:
                self._depth -= 1
        self._scanned = len(buffer)
        return -1

    def _find_separator(self) -> bool:
        """Find the next element behind a gap, as Gemini separates them; False without one."""
        match = _SEPARATOR.search(self._buffer)
        if match is None:
            self._consume(max(len(self._buffer) - _SEPARATOR_BYTES, 0))
            return False
        self._consume(match.start() + 1)  # up to the comma, which ends what is skipped
        self._lost_nesting = self._in_string = False
        self._depth = 0
        return True

    def _emit(self, out: list[JsonText | Malformed], raw: bytes, offset: int) -> None:
        text = raw.strip(_SPACE)
        if self._skipping:
            length = offset + len(raw) - self._skip_from
            out.append(Malformed(self._skip_from, length, self._skipping))
            self._skipping = ""
            return
        offset += len(raw) - len(raw.lstrip(_SPACE))
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except msgspec.DecodeError:
            out.append(Malformed(offset, len(text), "not a JSON value"))
        else:
            out.append(JsonText(text, offset))
