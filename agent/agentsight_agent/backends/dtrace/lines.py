"""Records out of the bytes that `agentsight.d` prints; the script tells the format.

Pure and bounded. Must not know what the records mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Fields behind time, pid and tid: d a number, s a text, x the size of the bytes that follow.
_FORMS = {
    b"begin": "ddd",
    b"end": "",
    b"error": "dd",
    b"fork": "d",
    b"exec": "dddddsx",
    b"exit": "dd",
    b"signal": "dd",
    b"open": "dddds",
    b"close": "ddddd",
    b"change": "sdddds",
    b"name": "sddddss",
    b"connect": "ddx",
    b"tls": "ddddx",
    b"tlsfd": "dd",
    b"tlsfree": "d",
}
_COMMON = "ddd"
# Longer than four texts of strsize, each byte an escape of four.
_MAX_LINE_BYTES = 32 * 1024
_MAX_DUMP_BYTES = 64 * 1024
# A number, or a text in which neither a quote nor a backslash stands by itself.
_FIELD = re.compile(rb' (?:(-?\d{1,20})|"((?:[^"\\]|\\.)*)")')
_DUMP_ROW = re.compile(rb"^ {5}( {0,4}[0-9a-f]{1,5}):((?: [0-9a-f]{2}){1,16})(?:  |$)")
_DUMP_HEAD = re.compile(rb"^ {11}(?:  [0-9a-f]){16}  [0-9a-f]{16}$")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_ESCAPED = dict(zip(b"0abfnrtv", b"\0\a\b\f\n\r\t\v", strict=True))
# What dtrace itself says on stderr, which may have fallen into the middle of a line.
_DROPS = re.compile(
    rb"dtrace: (\d{1,18}) ([a-z ]*?)drops?( on CPU \d+| with non-empty [a-z]+ list)?$"
)
_SAYS = b"dtrace: "


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One record of the script."""

    kind: str
    time_ns: int
    pid: int
    tid: int
    numbers: tuple[int, ...]
    # Escapes undone; not cut at the size of the script's strings.
    texts: tuple[bytes, ...]
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Missing:
    """Records that are not there or cannot be read."""

    reason: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Foreign:
    """A line of somebody else: the command's own output, a remark of dtrace."""


LineItem = TraceRecord | Missing | Foreign


class LineReader:
    """Bytes in, records out, in the order of the lines; any chunking gives the same."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False
        # The part of a line that a remark of dtrace has cut.
        self._cut = b""
        # A record whose bytes follow.
        self._open: TraceRecord | None = None
        self._wanted = 0
        self._dump = bytearray()

    def feed(self, data: bytes) -> Iterator[LineItem]:
        """Yield what the next bytes complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from self._line(line)
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest, self._too_long = b"", True

    def close(self) -> Iterator[LineItem]:
        """Yield the rest; a line without its end is cut."""
        if self._too_long or (self._cut + self._rest).startswith(b"@"):
            yield from self._give_up()
            yield Missing("malformed")
        elif self._rest:
            yield from self._line(self._rest)
        self._rest, self._cut, self._too_long = b"", b"", False
        yield from self._give_up()

    def _line(self, line: bytes) -> Iterator[LineItem]:
        line, self._cut = self._cut + line, b""
        if self._too_long or len(line) > _MAX_LINE_BYTES:
            self._too_long = False
            yield from self._give_up()
            yield Missing("malformed")
            return
        at = line.rfind(_SAYS)
        if at >= 0 and (drops := _DROPS.match(line, at)):
            kind = drops[2].decode().strip()
            yield Missing(f"{kind} drops".strip(), int(drops[1]))
            self._cut = line[:at] if line.startswith((b"@", b" ")) else b""
            return
        if line.startswith(b"@"):
            yield from self._give_up()
            yield from self._record(line)
        elif self._open is not None and self._row(line):
            if len(self._dump) >= self._wanted:
                yield from self._finish()
        elif line:
            yield Foreign()

    def _record(self, line: bytes) -> Iterator[LineItem]:
        kind, _, _ = line[1:].partition(b" ")
        form = _FORMS.get(kind)
        if form is None:
            yield Foreign()
            return
        numbers: list[int] = []
        texts: list[bytes] = []
        at = 1 + len(kind)
        for wanted in _COMMON + form:
            field = _FIELD.match(line, at)
            if field is None or (field[1] is None) != (wanted == "s"):
                yield Missing("malformed")
                return
            if wanted == "s":
                texts.append(_unescape(field[2]))
            else:
                numbers.append(int(field[1]))
            at = field.end()
        time_ns, pid, tid, *others = numbers
        if at != len(line) or not _in_range(time_ns, pid, tid):
            yield Missing("malformed")
            return
        record = TraceRecord(kind.decode(), time_ns, pid, tid, tuple(others), tuple(texts))
        size = others[-1] if form.endswith("x") else 0
        if not 0 <= size <= _MAX_DUMP_BYTES:
            yield Missing("malformed")
        elif size:
            self._open, self._wanted = record, size
        else:
            yield record

    def _row(self, line: bytes) -> bool:
        """Take a line of a dump; False if it is none."""
        if not line or _DUMP_HEAD.match(line):
            return True
        row = _DUMP_ROW.match(line)
        if row is None or int(row[1], 16) != len(self._dump):
            return False
        self._dump += bytes.fromhex(row[2].decode())
        return True

    def _finish(self) -> Iterator[LineItem]:
        record, data = self._open, bytes(self._dump[: self._wanted])
        self._open, self._dump = None, bytearray()
        assert record is not None
        yield TraceRecord(
            record.kind, record.time_ns, record.pid, record.tid, record.numbers, record.texts, data
        )

    def _give_up(self) -> Iterator[LineItem]:
        """Give up the record that waits for its bytes."""
        if self._open is not None:
            self._open, self._dump = None, bytearray()
            yield Missing("malformed")


def _unescape(text: bytes) -> bytes:
    """Undo the escapes of %S, which shows the NULs that a text is padded with as well."""
    return _ESCAPE.sub(_character, text).partition(b"\0")[0]


def _character(escape: re.Match[bytes]) -> bytes:
    what = escape[1]
    code = int(what, 8) & 0xFF if len(what) == 3 else _ESCAPED.get(what[0], what[0])
    return bytes([code])


def _in_range(time_ns: int, pid: int, tid: int) -> bool:
    return 0 <= time_ns < 1 << 63 and 0 <= pid < 1 << 32 and tid >= 0
