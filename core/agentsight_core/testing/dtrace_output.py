"""Prints records as `agentsight.d` and libdtrace do, for tests: nothing here has run on macOS.

%S and tracemem() as dt_printf.c, dt_string.c (strchr2esc) and dt_consume.c (dt_print_bytes) of
OpenDTrace have them: %S shows the whole buffer of a string, the NULs behind it too.
"""

from __future__ import annotations

_ESCAPES = dict(zip(b'\0\a\b\f\n\r\t\v"\\', '0abfnrtv"\\', strict=True))
CHUNK_BYTES = 4096
CALL_BYTES = 8 * CHUNK_BYTES
STRING_BYTES = 1024


def text_of(data: bytes, *, padded: bool = True) -> str:
    """Return what %S makes of a string; `padded`: with what its buffer holds behind it."""
    cut = data[: STRING_BYTES - 1]
    if padded:
        cut = cut.ljust(STRING_BYTES, b"\0")
    return "".join(_character(byte) for byte in cut)


def _character(byte: int) -> str:
    if byte in _ESCAPES:
        return "\\" + _ESCAPES[byte]
    return chr(byte) if 0x20 <= byte <= 0x7E else f"\\{byte:03o}"


def hex_dump(data: bytes) -> str:
    """Return what tracemem() prints."""
    head = " " * 11 + "".join(f"  {digit}" for digit in "0123456789abcdef")
    lines = ["", head + "  0123456789abcdef"]
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        shown = "".join(chr(byte) if 0x20 <= byte <= 0x7E else "." for byte in row)
        pairs = "".join(f" {byte:02x}" for byte in row).ljust(48)
        lines.append(f"     {at:5x}:{pairs}  {shown}")
    return "\n".join(lines) + "\n"


class DtraceOutput:
    """The output of one run, record by record; times in nanoseconds since some begin."""

    def __init__(
        self, target: int, wall_ns: int, *, at_ns: int = 1_000_000_000, padded: bool = True
    ) -> None:
        self.text = ""
        self._padded = padded
        self.record("begin", at_ns, 1, 1, 1, wall_ns, target)

    def record(
        self,
        kind: str,
        at_ns: int,
        pid: int,
        tid: int,
        *fields: int | bytes,
        dump: bytes | None = None,
    ) -> str:
        """Add a record and return its text; a `dump` is preceded by its length."""
        shown = [self._shown(field) for field in fields]
        line = " ".join([f"@{kind}", str(at_ns), str(pid), str(tid), *shown])
        if dump is None:
            text = line + "\n"
        else:
            text = f"{line} {len(dump)}" + (hex_dump(dump) if dump else "\n")
        self.text += text
        return text

    def _shown(self, field: int | bytes) -> str:
        if isinstance(field, int):
            return str(field)
        return f'"{text_of(field, padded=self._padded)}"'

    def execute(
        self, at_ns: int, pid: int, parent: int, argv: list[bytes], *, running: bool = False
    ) -> None:
        """Add that a program was executed; `running`: it is introduced, as the target is."""
        arguments = b"".join(argument + b"\0" for argument in argv)
        name = argv[0].rpartition(b"/")[2][:15]
        fields = (parent, 501, int(running), len(argv), len(arguments), name)
        self.record("exec", at_ns, pid, pid * 7, *fields, dump=arguments[:CHUNK_BYTES])

    def call(self, at_ns: int, pid: int, ssl: int, data: bytes, *, written: bool) -> None:
        """Add a call of SSL_write or SSL_read, in pieces; of a long one the end is not told."""
        for at in range(0, min(len(data), CALL_BYTES), CHUNK_BYTES):
            piece = data[at : min(at + CHUNK_BYTES, CALL_BYTES)]
            fields = (ssl, int(written), len(data), at)
            self.record("tls", at_ns, pid, pid * 7, *fields, dump=piece)
