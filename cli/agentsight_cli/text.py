"""Values as people read them at a terminal.

Text of watched programs is made harmless: printable characters, one line, bounded length.
"""

from __future__ import annotations

NS_PER_SECOND = 1_000_000_000


def shown(value: object, max_chars: int = 72) -> str:
    """Return `value` as printable text of one line of at most `max_chars` characters."""
    text = str(value)
    line = " ".join(
        "".join(char if char.isprintable() else " " for char in text[: 2 * max_chars]).split()
    )
    if len(line) > max_chars or len(text) > 2 * max_chars:
        return f"{line[: max_chars - 1]}…"
    return line


def duration(nanoseconds: int) -> str:
    """Return a span of time: `340 ms`, `1.25 s`, `73 s`."""
    seconds = nanoseconds / NS_PER_SECOND
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def size(count: int) -> str:
    """Return a number of bytes: `512 B`, `1.5 KiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def dollars(value: float) -> str:
    """Return a price with as many digits as small prices need."""
    return f"${value:.4f}" if value < 1 else f"${value:.2f}"


def counted(count: int, noun: str) -> str:
    """Return `1 turn`, `2,000 turns`, `3 processes`, `2 retries`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith(("s", "sh")):
        return f"{count:,} {noun}es"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("ry") else f"{count:,} {noun}s"
