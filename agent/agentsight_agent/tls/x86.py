"""Decodes the x86-64 instructions that function prologues are made of.

Everything else is "unknown" (None), never a guess. A complete disassembler (capstone) would cost
the agent 18 MB of memory for the same answers. Must not know what a probe is.

Source: Intel SDM volume 2, chapter 2 (instruction format) and appendix A (opcode map).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

# Numbers of the general registers as the instruction encoding has them.
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9 = range(10)


class Kind(Enum):
    """What an instruction does, as far as the choice of a probe's place goes."""

    PUSH = auto()
    NOP = auto()
    CALL = auto()
    JUMP = auto()
    BRANCH = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Instruction:
    """One decoded instruction.

    `writes` are the general registers that it changes; `target` is where it may continue, relative
    to its own beginning; `code` are its bytes.
    """

    kind: Kind
    code: bytes
    writes: frozenset[int] = frozenset()
    target: int | None = None


# Opcodes with a ModRM byte: what they change, and the bytes of the immediate value behind it.
_NOTHING, _REG, _RM = range(3)
_ONE_BYTE = {
    0x01: (_RM, 0), 0x03: (_REG, 0),  # add
    0x09: (_RM, 0), 0x0B: (_REG, 0),  # or
    0x21: (_RM, 0), 0x23: (_REG, 0),  # and
    0x29: (_RM, 0), 0x2B: (_REG, 0),  # sub
    0x31: (_RM, 0), 0x33: (_REG, 0),  # xor
    0x38: (_NOTHING, 0), 0x39: (_NOTHING, 0), 0x3A: (_NOTHING, 0), 0x3B: (_NOTHING, 0),  # cmp
    0x63: (_REG, 0),  # movsxd
    0x80: (_RM, 1), 0x81: (_RM, 4), 0x83: (_RM, 1),  # add … cmp with a value
    0x84: (_NOTHING, 0), 0x85: (_NOTHING, 0),  # test
    0x88: (_RM, 0), 0x89: (_RM, 0), 0x8A: (_REG, 0), 0x8B: (_REG, 0),  # mov
    0x8D: (_REG, 0),  # lea
    0xC6: (_RM, 1), 0xC7: (_RM, 4),  # mov a value
}  # fmt: skip
_TWO_BYTE = {
    0x1F: (_NOTHING, 0),  # nop
    0xB6: (_REG, 0), 0xB7: (_REG, 0), 0xBE: (_REG, 0), 0xBF: (_REG, 0),  # movzx, movsx
}  # fmt: skip
# What assemblers put before a long nop; an instruction has at most 15 bytes in all.
_MAX_PREFIXES = 5
_ENDBR64 = b"\xf3\x0f\x1e\xfa"


def decode(code: bytes) -> Instruction | None:
    """Return the instruction at the beginning of `code`; None when it is not a known form."""
    if code.startswith(_ENDBR64):
        return Instruction(Kind.OTHER, _ENDBR64)
    at = 0
    while at < _MAX_PREFIXES and code[at : at + 1] in {b"\x66", b"\x64", b"\x2e"}:
        at += 1
    rex = code[at] if at < len(code) and 0x40 <= code[at] <= 0x4F else 0
    at += bool(rex)
    if at >= len(code):
        return None
    if code[at] == 0x0F:
        return _decode_two_byte(code, at + 1, rex)
    return _decode_flow(code, at, rex) or _decode_modrm(code, at, rex, _ONE_BYTE, Kind.OTHER)


def _decode_two_byte(code: bytes, at: int, rex: int) -> Instruction | None:
    if at < len(code) and 0x80 <= code[at] <= 0x8F:
        return _relative(Kind.BRANCH, code, at + 1, 4)
    kind = Kind.NOP if code[at : at + 1] == b"\x1f" else Kind.OTHER
    return _decode_modrm(code, at, rex, _TWO_BYTE, kind)


def _decode_flow(code: bytes, at: int, rex: int) -> Instruction | None:
    """Decode what has no ModRM byte: push, nop, jumps, and loading a value."""
    opcode = code[at]
    if 0x50 <= opcode <= 0x57:
        return Instruction(Kind.PUSH, code[: at + 1], frozenset({RSP}))
    if 0xB8 <= opcode <= 0xBF:
        size = at + (9 if rex & 8 else 3 if 0x66 in code[:at] else 5)
        register = opcode - 0xB8 + ((rex & 1) << 3)
        return _complete(Kind.OTHER, code, size, frozenset({register}))
    if opcode == 0x90 and not rex:
        return Instruction(Kind.NOP, code[: at + 1])
    if opcode in {0xE8, 0xE9}:
        return _relative(Kind.CALL if opcode == 0xE8 else Kind.JUMP, code, at + 1, 4)
    if opcode == 0xEB or 0x70 <= opcode <= 0x7F:
        return _relative(Kind.JUMP if opcode == 0xEB else Kind.BRANCH, code, at + 1, 1)
    return None


def _relative(kind: Kind, code: bytes, at: int, width: int) -> Instruction | None:
    size = at + width
    if size > len(code) or 0x66 in code[: at - 1]:
        return None
    distance = int.from_bytes(code[at:size], "little", signed=True)
    return Instruction(kind, code[:size], target=size + distance)


def _complete(kind: Kind, code: bytes, size: int, writes: frozenset[int]) -> Instruction | None:
    return Instruction(kind, code[:size], writes) if size <= len(code) else None


def _decode_modrm(
    code: bytes, at: int, rex: int, table: dict[int, tuple[int, int]], kind: Kind
) -> Instruction | None:
    if at + 1 >= len(code) or code[at] not in table:
        return None
    opcode, modrm = code[at], code[at + 1]
    changes, value_bytes = table[opcode]
    mode, reg, rm = modrm >> 6, (modrm >> 3) & 7, modrm & 7
    if opcode in {0x80, 0x81, 0x83} and reg == 7 and kind is Kind.OTHER:
        changes = _NOTHING  # cmp
    if value_bytes == 4 and 0x66 in code[:at]:
        value_bytes = 2
    size = at + 2 + _address_bytes(code, at + 2, mode, rm) + value_bytes
    writes: set[int] = set()
    if changes == _REG:
        writes.add(reg | (rex & 4) << 1)
    elif changes == _RM and mode == 3:
        writes.add(rm | (rex & 1) << 3)
    return _complete(kind, code, size, frozenset(_whole(writes, opcode, rex)))


def _whole(registers: set[int], opcode: int, rex: int) -> set[int]:
    """Without REX, the byte registers 4 to 7 are ah, ch, dh, bh: parts of 0 to 3."""
    if opcode in {0x80, 0x88, 0x8A, 0xC6} and not rex:
        return {register & 3 for register in registers}
    return registers


def _address_bytes(code: bytes, at: int, mode: int, rm: int) -> int:
    """Return how many bytes of SIB and displacement follow a ModRM byte."""
    if mode == 3:
        return 0
    sib = int(rm == 4)
    base = code[at] & 7 if sib and at < len(code) else rm
    if mode == 0:
        return sib + (4 if base == 5 else 0)
    return sib + (1 if mode == 1 else 4)
