"""Where two saved states differ, for people.

Must not know what the values mean.
"""

from __future__ import annotations

import contextlib

import msgspec

_SHOWN_CHARS = 80


def first_difference(one: bytes, other: bytes) -> str:
    """Return the path to the first value that is not the same, and both values; "": none is."""
    return _differs(_decoded(one), _decoded(other), "")


def _decoded(data: bytes) -> object:
    return msgspec.msgpack.decode(data, strict=False)


def _differs(one: object, other: object, path: str) -> str:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        parts = [(one[key], other[key], f"{path}.{key}") for key in one]
        if list(one) != list(other):
            parts.append((list(one), list(other), f"{path} (order)"))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = zip(one, other, strict=True)
        parts = [(a, b, f"{path}[{number}]") for number, (a, b) in enumerate(pairs)]
    elif isinstance(one, bytes) and isinstance(other, bytes) and one != other:
        # A state in a state: one byte of version before it.
        with contextlib.suppress(msgspec.DecodeError):
            return _differs(_decoded(one[1:]), _decoded(other[1:]), f"{path}:")
        return f"{path}: {one[:_SHOWN_CHARS]!r}, {other[:_SHOWN_CHARS]!r}"
    elif one != other or type(one) is not type(other):
        # 1 and 1.0 are equal, and not the same bytes.
        return f"{path}: {repr(one)[:_SHOWN_CHARS]}, {repr(other)[:_SHOWN_CHARS]}"
    else:
        return ""
    return next((found for part in parts if (found := _differs(*part))), "")
