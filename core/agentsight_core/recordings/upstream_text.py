r"""Bytes out of the JSON strings in which upstream AgentSight (eunomia-bpf/agentsight) keeps them.

`bpf/sslsniff.c` writes valid UTF-8 as it is and every other byte as `\u00XX`. Its collector reads
such a line and writes it again, so that escapes become characters below U+0100; in log files it may
write `HEX:` and the string in hexadecimal. Must not know events.
"""

from __future__ import annotations

import json
import re

_HEX_PREFIX = "HEX:"
# An escape of a byte from 0x80 on, not behind a backslash that is itself escaped.
_BYTE_ESCAPE = re.compile(rb"(?<!\\)((?:\\\\)*)\\u00([89a-fA-F][0-9a-fA-F])")
# Lone surrogates stand for single bytes, as in PEP 383.
_AS_SURROGATE = rb"\1\\udc\2"
_NO_CHARACTER = re.compile("[\ud800-\udfff]")


class LineError(ValueError):
    """A line is not as it must be; the message says what and what is allowed."""


def parse_line(line: bytes) -> object:
    r"""Return the JSON value of a line; `\u0080` to `\u00ff` become U+DC80 to U+DCFF.

    Raises LineError if it is no JSON in UTF-8.
    """
    try:
        return json.loads(_BYTE_ESCAPE.sub(_AS_SURROGATE, line))
    except RecursionError as error:
        raise LineError("is nested too deeply") from error
    except ValueError as error:
        raise LineError(f"is no JSON: {error}") from error


def whole_number(value: object, *, below: int = 2**63) -> int | None:
    """Return `value` if it is a whole number that an event can hold, else None."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < below else None


def plain_text(text: str) -> str:
    """Return a string of `parse_line` that was always text: its escapes are characters.

    Any other lone surrogate is no character, and becomes U+FFFD.
    """
    whole = "".join(chr(ord(char) - 0xDC00) if _is_byte(char) else char for char in text)
    return _NO_CHARACTER.sub("\ufffd", whole)


def payload(text: str, length: int | None) -> bytes:
    """Return the bytes that a `data` string of `parse_line` stands for.

    `length` is how many there should be, None if that is not known: it decides between the ways in
    which the string may have been written.
    """
    if text.startswith(_HEX_PREFIX):
        return _from_hex(text, length)
    if text.isascii():
        return text.encode()
    readings = [_mixed(text), _characters(text), _low_bytes(text)]
    if length is None:
        # Compressed data is no text: then, and only then, characters are bytes.
        return readings[2] if readings[2].startswith(b"\x1f\x8b") else readings[1]
    return min(readings, key=lambda data: abs(len(data) - length))


def _from_hex(text: str, length: int | None) -> bytes:
    try:
        data = bytes.fromhex(text.removeprefix(_HEX_PREFIX))
    except ValueError:
        return _characters(text)
    if len(data) == length:
        return data
    try:
        return payload(data.decode(), length)
    except UnicodeDecodeError:
        return data


def _mixed(text: str) -> bytes:
    """Escapes are bytes, characters are characters: as sslsniff writes."""
    return b"".join(
        bytes([ord(char) - 0xDC00]) if _is_byte(char) else char.encode("utf-8", "replace")
        for char in text
    )


def _characters(text: str) -> bytes:
    """Everything is characters: as any other JSON writer writes text."""
    return plain_text(text).encode()


def _low_bytes(text: str) -> bytes:
    """Characters below U+0100 are bytes: what the collector makes of escapes."""
    return b"".join(
        bytes([ord(char)]) if ord(char) < 0x100 else char.encode("utf-8", "replace")
        for char in plain_text(text)
    )


def _is_byte(char: str) -> bool:
    return "\udc80" <= char <= "\udcff"
