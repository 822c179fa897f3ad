"""Says from the table for unwinding in which function an address lies; stripped files keep it.

Only the table's usual form is read: sorted, four-byte offsets. Must not guess: None when an address
is not covered.

Source: LSB Core, "Exception frames" (.eh_frame, .eh_frame_hdr).
"""

from __future__ import annotations

import struct

from agentsight_agent.tls.elf import Elf, Section

# version 1; eh_frame pointer: anything; count: udata4; table: datarel | sdata4.
_HEADER = struct.Struct("<BBBBiI")
_VERSION, _COUNT_FORM, _TABLE_FORM = 1, 0x03, 0x3B
_ENTRY = struct.Struct("<ii")
# Length, distance to its CIE, begin (relative to its own place), size.
_FRAME = struct.Struct("<IIiI")
_BEGIN_AT = 8


def function_around(elf: Elf, address: int) -> int | None:
    """Return where the function begins whose code is at virtual `address`; None if not known."""
    table = elf.section(b".eh_frame_hdr")
    head = elf.bytes_at(table, 0, _HEADER.size) if table else b""
    if table is None or len(head) < _HEADER.size:
        return None
    version, _, count_form, table_form, _, count = _HEADER.unpack(head)
    if (version, count_form, table_form) != (_VERSION, _COUNT_FORM, _TABLE_FORM):
        return None
    low, high = 0, min(count, table.size // _ENTRY.size)
    while high - low > 1:
        middle = (low + high) // 2
        entry = _entry(elf, table, middle)
        if entry is None:
            return None
        low, high = (middle, high) if entry[0] <= address else (low, middle)
    entry = _entry(elf, table, low)
    return entry[0] if entry and _covers(elf, entry, address) else None


def _entry(elf: Elf, table: Section, index: int) -> tuple[int, int] | None:
    """Return the addresses of function number `index` and of its frame description."""
    data = elf.bytes_at(table, _HEADER.size + index * _ENTRY.size, _ENTRY.size)
    if len(data) < _ENTRY.size:
        return None
    function, frame = _ENTRY.unpack(data)
    return table.address + function, table.address + frame


def _covers(elf: Elf, entry: tuple[int, int], address: int) -> bool:
    start, frame = entry
    data = elf.code(frame, _FRAME.size)
    if len(data) < _FRAME.size:
        return False
    _, _, begin, size = _FRAME.unpack(data)
    return bool(frame + _BEGIN_AT + begin == start and start <= address < start + size)
