"""Finds the doors of Go's crypto/tls, with and without symbols: Go's own function table remains.

Reads the table `.gopclntab` of Go 1.18 and later in a stream: names, then the functions that bear
them, then their entries. What it says is believed only if the code there begins as Go code does.
Must not attach anything.

Sources: Go's src/runtime/symtab.go and src/internal/abi/symtab.go (pcHeader, functab, _func,
moduledata), cmd/compile/abi-internal.md (registers), cmd/internal/obj/x86/obj6.go (prologue,
epilogue).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agentsight_agent.bpf.hooks import HookKind, TlsHook
from agentsight_agent.tls.elf import EM_X86_64, Elf, Section
from agentsight_agent.tls.reasons import Reason
from agentsight_agent.tls.x86 import Kind, decode

_READ, _WRITE, _CLOSE = (
    f"crypto/tls.(*Conn).{name}".encode() for name in ("Read", "Write", "Close")
)
_TABLES = (b".gopclntab", b".data.rel.ro.gopclntab")
# Go 1.18 and 1.20; 1.16 passes arguments on the stack, 1.17 has no offsets relative to the text.
_MAGICS = {0xFFFFFFF0, 0xFFFFFFF1}
# pcHeader: magic, 2 zero bytes, quantum, pointer size; then as many of these.
_HEADER = struct.Struct("<IBBBB8Q")
# moduledata.text: behind a pointer, 6 slices, findfunctab, minpc, maxpc.
_TEXT_IN_MODULE = 8 + 6 * 24 + 3 * 8
_MAX_FUNCTION_BYTES = 1 << 14
_STACK_CHECK = b"\x66\x10"  # the end of `cmp 0x10(%r14),%rsp` and of `cmp 0x10(%r14),%r12`
_RET = b"\xc3"


@dataclass(frozen=True, slots=True)
class _Table:
    """Where the parts of the table lie: bytes from its beginning."""

    section: Section
    text_start: int
    function_count: int
    names: int
    functions: int


def uses_go_tls(elf: Elf) -> bool:
    """Tell whether `elf` is a Go program with crypto/tls in it."""
    if not elf.has_section(b".go.buildinfo"):
        return False
    # Function names are in .gopclntab, or since Go 1.26 in .rodata.
    parts = (*_TABLES, b".rodata")
    return any(elf.first_of([b"\0" + _READ + b"\0"], part) for part in parts)


def go_hooks(elf: Elf) -> tuple[TlsHook, ...] | Reason:
    """Return the hooks of crypto/tls in a Go program, or the reason why there are none."""
    table = _table(elf) if elf.machine == EM_X86_64 else None
    if table is None:
        return Reason.GO_TABLE
    places = dict(_find(elf, table, (_READ, _WRITE, _CLOSE)))
    for start in _text_starts(elf, table):
        hooks = _hooks(elf, start, places)
        if hooks:
            return hooks
    return Reason.GO_CODE


def _table(elf: Elf) -> _Table | None:
    section = elf.section(*_TABLES)
    data = elf.bytes_at(section, 0, _HEADER.size) if section else b""
    if section is None or len(data) < _HEADER.size:
        return None
    magic, zero, _, quantum, pointer_bytes, count, _, start, names, _, _, _, functions = (
        _HEADER.unpack(data)
    )
    if magic not in _MAGICS or zero or quantum != 1 or pointer_bytes != 8:
        return None
    return _Table(section, start, count, names, functions)


def _find(elf: Elf, table: _Table, names: tuple[bytes, ...]) -> Iterator[tuple[bytes, range]]:
    """Yield the functions called `names`: (name, addresses relative to the text's beginning)."""
    wanted = [b"\0" + name + b"\0" for name in names]
    named = elf.search(wanted, table.section.part(table.names))
    keys = {
        struct.pack("<I", at + 1): text[1:-1] for text, hits in named.items() for at in hits[:1]
    }
    functions = table.section.part(table.functions)
    for key, hits in elf.search(list(keys), functions).items():
        for at in hits:
            if at < 4:
                continue
            # _func: the entry's offset, then the name's.
            entry = int.from_bytes(elf.bytes_at(functions, at - 4, 4), "little")
            end = _end(elf, table, functions, entry, at - 4)
            if end is not None:
                yield keys[key], range(entry, end)
                break


def _end(elf: Elf, table: _Table, functions: Section, entry: int, place: int) -> int | None:
    """Return where a function ends; None if the table has no such entry: a chance hit."""
    pairs = Section(b"", 0, 0, functions.offset, min(8 * table.function_count, functions.size))
    for at in elf.search([struct.pack("<II", entry, place)], pairs).popitem()[1]:
        following = elf.bytes_at(functions, at + 8, 4)
        if at % 8 == 0 and len(following) == 4:
            return int.from_bytes(following, "little")
    return None


def _text_starts(elf: Elf, table: _Table) -> Iterator[int]:
    """Yield where the text may begin: as the header, the symbols, the module, the section say."""
    if table.text_start:
        yield table.text_start
    symbol = elf.functions(["runtime.text"]).get("runtime.text")
    if symbol:
        yield symbol.address
    module = elf.section(b".go.module")
    if module:
        yield int.from_bytes(elf.bytes_at(module, _TEXT_IN_MODULE, 8), "little")
    text = elf.section(b".text")
    if text:
        yield text.address


def _hooks(elf: Elf, start: int, places: dict[bytes, range]) -> tuple[TlsHook, ...]:
    hooks: list[TlsHook] = []
    for name, place in places.items():
        address, size = start + place.start, min(len(place), _MAX_FUNCTION_BYTES)
        code, offset = elf.code(address, size), elf.file_offset(address)
        inside = _checked_entry(code)
        if offset is None or inside is None:
            return ()
        check, behind = inside
        if name == _READ:
            ends = _ends(code, behind)
            if not ends:
                return ()
            hooks.append(TlsHook(HookKind.GO_READ, offset + check))
            hooks.extend(TlsHook(HookKind.GO_READ_END, offset + end) for end in ends)
        elif name == _WRITE:
            hooks.append(TlsHook(HookKind.GO_WRITE, offset + behind))
        else:
            hooks.append(TlsHook(HookKind.GO_CLOSE, offset + check))
    return tuple(hooks) if {_READ, _WRITE} <= places.keys() else ()


def _checked_entry(code: bytes) -> tuple[int, int] | None:
    """Return where the branch of the stack check is and what follows it; None if it is no Go code.

    The branch is cheap to probe, but the code before it runs again when the stack has grown.
    """
    offset, before = 0, b""
    for _ in range(3):
        instruction = decode(code[offset : offset + 16])
        if instruction is None:
            return None
        if instruction.kind is Kind.BRANCH:
            is_check = before.endswith(_STACK_CHECK)
            return (offset, offset + len(instruction.code)) if is_check else None
        offset += len(instruction.code)
        before = instruction.code
    return None


def _ends(code: bytes, behind: int) -> list[int]:
    """Return the offsets of the RET instructions, found by the one way in which frames are undone.

    `behind` the stack check the frame is made: from Go 1.21 on `push %rbp; mov %rsp,%rbp` first.
    """
    pops = b"\x5d" if code[behind : behind + 4] == b"\x55\x48\x89\xe5" else b""
    made = code[behind + 4 :] if pops else code[behind:]
    undo = _undone(made)
    if undo is None:
        return []
    epilogue = undo + pops + _RET
    ends, at = [], code.find(epilogue)
    while at >= 0:
        ends.append(at + len(epilogue) - 1)
        at = code.find(epilogue, at + 1)
    return ends


def _undone(code: bytes) -> bytes | None:
    """Return the instruction that takes back the `sub $n,%rsp` that `code` begins with."""
    match code[:3]:
        case b"\x48\x83\xec":
            return b"\x48\x83\xc4" + code[3:4]
        case b"\x48\x81\xec":
            return b"\x48\x81\xc4" + code[3:7]
        case b"\x48\x83\xc4":  # `add $-128` is shorter than `sub $128`
            return b"\x48\x83\xec" + code[3:4]
    return None
