"""Reads BTF, the type information of programs and kernels.

Source: Documentation/bpf/btf.rst of Linux.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

_STRUCT, _UNION, _TYPEDEF = 4, 5, 8
# Volatile, const, restrict, type tag: another name for a type.
_QUALIFIERS = {_TYPEDEF, 9, 10, 11, 18}
# Sizes of what follows struct btf_type: once, and per member.
_TRAILER_BYTES = {1: 4, 3: 12, 14: 4, 17: 4}
_MEMBER_BYTES = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


@dataclass
class Type:
    """One type; the members of structures and unions as (name, type number, offset in bytes)."""

    name: str
    kind: int
    size_or_type: int
    members: list[tuple[str, int, int]] = field(default_factory=list)


class Btf:
    """All types of a BTF section."""

    def __init__(self, data: bytes) -> None:
        self._types = [Type("void", 0, 0), *_types(data)]
        self.structures = {one.name: one for one in self._types if one.kind == _STRUCT}

    def fields(self, name: str) -> dict[str, int]:
        """Return the fields of a structure: name to offset, "" to the size of the whole."""
        found = self.structures[name]
        return {**dict(self._fields(found, 0)), "": found.size_or_type}

    def _fields(self, of: Type, at: int) -> Iterator[tuple[str, int]]:
        for name, number, offset in of.members:
            if name:
                yield name, at + offset
            else:
                yield from self._fields(self._resolved(number), at + offset)

    def _resolved(self, number: int) -> Type:
        found = self._types[number]
        while found.kind in _QUALIFIERS:
            found = self._types[found.size_or_type]
        return found


def _types(data: bytes) -> Iterator[Type]:
    header_bytes, types_at, types_bytes, strings_at, _ = struct.unpack_from("<4x5I", data)
    strings = header_bytes + strings_at

    def text(offset: int) -> str:
        start = strings + offset
        return data[start : data.index(b"\0", start)].decode()

    at = header_bytes + types_at
    end = at + types_bytes
    while at < end:
        name, info, size = struct.unpack_from("<III", data, at)
        kind, count = info >> 24 & 0x1F, info & 0xFFFF
        at += 12
        found = Type(text(name), kind, size)
        if kind in {_STRUCT, _UNION}:
            # With bit fields the upper byte is their width.
            for member, number, bits in struct.iter_unpack("<III", data[at : at + 12 * count]):
                found.members.append(
                    (text(member), number, (bits & 0xFFFFFF if info >> 31 else bits) // 8)
                )
        yield found
        at += _TRAILER_BYTES.get(kind, 0) + _MEMBER_BYTES.get(kind, 0) * count
