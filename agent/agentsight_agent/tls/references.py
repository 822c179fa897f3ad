"""Finds which functions of a stripped x86-64 program refer to a text.

Reads the code once in a stream: in each chunk, the upper bytes of the distance to a target are
nearly constant, so that a regular expression finds `lea` and `call` with them and hardly anything
else. Costs about a second per 100 MB and holds one chunk. Must not know what the texts mean.

Source: Intel SDM volume 2 (lea with RIP-relative address, mov r32 with a value, call rel32).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentsight_agent.tls.elf import Elf, Section
from agentsight_agent.tls.unwinding import function_around

_CHUNK_BYTES = 1 << 18
_LONGEST = 8
_LEA = rb"[\x48\x4c]\x8d(?=[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]..%b)"
_CALL = rb"\xe8(?=..%b)"
_DISTANCE = struct.Struct("<i")
# Compilers align functions; other targets of a call are data taken for code.
_ALIGNMENT = 16
_MAX_FUNCTION_BYTES = 1 << 15
_MAX_TEXT_BYTES = 512
_MAX_CODE_BYTES = 1 << 30
# User space ends there; a file may claim anything.
_MAX_ADDRESS = 1 << 47


@dataclass(frozen=True, slots=True)
class Reference:
    """The instruction at virtual `address` names the virtual address `target`."""

    address: int
    target: int


def texts(elf: Elf, text: bytes) -> list[int]:
    """Return the addresses of the strings in .rodata that end with `text`."""
    section = _texts(elf)
    if section is None:
        return []
    found = []
    for at in elf.search([text + b"\0"], section)[text + b"\0"]:
        begin = max(at - _MAX_TEXT_BYTES, 0)
        before = elf.bytes_at(section, begin, at - begin)
        found.append(section.address + begin + before.rfind(b"\0") + 1)
    return found


def names(elf: Elf, name: str) -> list[int]:
    """Return the addresses of the strings in .rodata that are exactly `name`."""
    section = _texts(elf)
    text = b"\0" + name.encode() + b"\0"
    return [section.address + at + 1 for at in elf.search([text], section)[text]] if section else []


def _texts(elf: Elf) -> Section | None:
    section = elf.section(b".rodata")
    return section if section and section.address + section.size < _MAX_ADDRESS else None


def references(elf: Elf, targets: Sequence[int]) -> list[Reference]:
    """Return the instructions that name one of the addresses `targets`, in order."""
    found: set[Reference] = set()
    for address, code in _chunks(elf.section(b".text"), elf):
        found.update(_by_distance(address, code, targets))
        found.update(_by_value(address, code, targets))
    return sorted(found, key=lambda reference: reference.address)


def callers(elf: Elf, function: int) -> list[int]:
    """Return the addresses of the calls of the function that begins at address `function`."""
    found: set[int] = set()
    for address, code in _chunks(elf.section(b".text"), elf):
        ranges = [(function - address - len(code), function - address)]
        found.update(at for at, target in _calls(address, code, ranges) if target == function)
    return sorted(found)


def function_starts(elf: Elf, places: Sequence[int]) -> dict[int, int]:
    """Return for each address of `places` where the function begins that it lies in.

    Where the table for unwinding does not say it, that is the nearest aligned target of a call
    before it; places without one are left out.
    """
    unwound = {place: function_around(elf, place) for place in places}
    found = {place: start for place, start in unwound.items() if start is not None}
    rest = [place for place in places if place not in found]
    starts: set[int] = set()
    for address, code in _chunks(elf.section(b".text") if rest else None, elf):
        starts.update(_called(address, code, rest))
    ordered = sorted(starts)
    for place in rest:
        index = bisect_right(ordered, place) - 1
        if index >= 0 and place - ordered[index] < _MAX_FUNCTION_BYTES:
            found[place] = ordered[index]
    return found


def _chunks(section: Section | None, elf: Elf) -> Iterator[tuple[int, bytes]]:
    """Yield (virtual address, code); neighbours overlap by the longest instruction."""
    if section is None:
        return
    for at in range(0, min(section.size, _MAX_CODE_BYTES), _CHUNK_BYTES - _LONGEST):
        code = elf.bytes_at(section, at, _CHUNK_BYTES)
        if not code:
            return  # the section claims more than the file has
        yield section.address + at, code


def _by_distance(address: int, code: bytes, targets: Sequence[int]) -> Iterator[Reference]:
    wanted = set(targets)
    ranges = [(target - address - len(code), target - address) for target in wanted]
    for match in _find(_LEA, code, ranges):
        at = match.start()
        if at + 7 <= len(code):
            target = address + at + 7 + _DISTANCE.unpack_from(code, at + 3)[0]
            if target in wanted:
                yield Reference(address + at, target)


def _by_value(address: int, code: bytes, targets: Sequence[int]) -> Iterator[Reference]:
    """Yield `mov $target, %reg`: programs at a fixed place below 2 GiB."""
    for target in targets:
        value = struct.pack("<Q", target)
        at = -1 if any(value[4:]) else code.find(value[:4], 1)
        while at > 0:
            if 0xB8 <= code[at - 1] <= 0xBF:
                yield Reference(address + at - 1, target)
            at = code.find(value[:4], at + 1)


def _called(address: int, code: bytes, places: Sequence[int]) -> Iterator[int]:
    """Yield the targets of calls that may be the beginnings of functions around `places`."""
    reach = _MAX_FUNCTION_BYTES + len(code)
    ranges = [(place - address - reach, place - address) for place in places]
    for _, target in _calls(address, code, ranges):
        if target % _ALIGNMENT == 0:
            yield target


def _calls(
    address: int, code: bytes, ranges: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield (address, target) of calls, among them all whose distance is in one of `ranges`."""
    for match in _find(_CALL, code, ranges):
        at = match.start()
        if at + 5 <= len(code):
            yield address + at, address + at + 5 + _DISTANCE.unpack_from(code, at + 1)[0]


def _find(
    pattern: bytes, code: bytes, ranges: Iterable[tuple[int, int]]
) -> Iterator[re.Match[bytes]]:
    """Yield at least the matches of `pattern` whose distance is in one of `ranges`."""
    upper = {
        struct.pack("<i", value)[2:]
        for low, high in ranges
        if low >= -(1 << 31) and high < 1 << 31
        for value in (*range(low, high, 1 << 16), high)
    }
    if upper:
        third, fourth = (
            re.escape(bytes(sorted(set(column)))) for column in zip(*upper, strict=True)
        )
        yield from re.finditer(pattern % (b"[%b][%b]" % (third, fourth)), code, re.DOTALL)
