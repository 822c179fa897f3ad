"""Chooses where in a function a probe is cheap.

A uprobe on `push`, `nop`, `call`, `jmp` or a conditional jump is emulated by the kernel; on any
other instruction it is single-stepped, which takes a second trap (measured here: 0.7 µs and 9.3 to
10.8 µs; see bench/bench_hooks.py). A place is only taken if the function's arguments, and for
return probes the stack pointer, are provably what they were at the entry.

Must not read files. Source: arch/x86/kernel/uprobes.c, branch_setup_xol_ops and push_setup_xol_ops
(Linux 5.0 and later; multi-byte nops only since 6.17, so they are not counted as emulated).
"""

from __future__ import annotations

from collections.abc import Iterator

from agentsight_agent.tls.x86 import RCX, RDI, RDX, RSI, RSP, Instruction, Kind, decode

# The four arguments of SSL_read_ex: connection, buffer, size, pointer to the count.
ARGUMENTS = frozenset({RDI, RSI, RDX, RCX})

# Prologues are short; a place further inside would be the body.
_MAX_INSTRUCTIONS = 16

_TEST_EDX = b"\x85\xd2"
_JS_OPCODES = (b"\x78", b"\x0f\x88")
_EXTEND_EDX = (b"\x48\x63\xd2", b"\x89\xd2")  # movslq %edx,%rdx; mov %edx,%edx


def cheap_offset(
    code: bytes, arguments: frozenset[int] = ARGUMENTS, *, returns: bool
) -> int | None:
    """Return the offset in the function `code` at which a probe is emulated.

    `arguments` are the registers that must be untouched there; with `returns` the stack pointer
    too, because a return probe replaces the return address it points to. None: no such place.
    """
    fixed = arguments | {RSP} if returns else arguments
    for offset, instruction in _walk(code):
        if _is_emulated(instruction):
            return offset
        if instruction.kind is Kind.JUMP or instruction.writes & fixed:
            return None
    return None


def shared_internal(code_ex: bytes, address_ex: int, code: bytes, address: int) -> int | None:
    """Return the address of the function to which an `_ex` entry and its plain twin only lead.

    OpenSSL's SSL_write_ex(s, buf, num, written) and SSL_write(s, buf, num) check their arguments
    and call ssl_write_internal(s, buf, num, &written); the read pair likewise. Then one probe
    there, with the signature of the `_ex` entry, sees both. None unless the code proves it: the
    `_ex` entry reaches the call in a straight line with all arguments untouched, the plain one with
    the first two untouched, `num` at most widened, no branch but the check for a negative `num`.
    """
    inner = _call_with_same_arguments(code_ex)
    plain = _call_after_size_check(code)
    if inner is None or plain is None or address_ex + inner != address + plain:
        return None
    return address_ex + inner


def called(code: bytes, address: int) -> frozenset[int]:
    """Return the addresses that the function `code` at `address` calls or jumps to.

    Reads the opcode bytes at every offset, so it may name too many, never too few direct ones.
    """
    targets = set()
    for at in range(len(code) - 4):
        if code[at] in {0xE8, 0xE9}:
            distance = int.from_bytes(code[at + 1 : at + 5], "little", signed=True)
            targets.add(address + at + 5 + distance)
    return frozenset(targets)


def _walk(code: bytes) -> Iterator[tuple[int, Instruction]]:
    """Yield (offset, instruction) from the entry on, until one is not known."""
    offset = 0
    for _ in range(_MAX_INSTRUCTIONS):
        instruction = decode(code[offset : offset + 16])
        if instruction is None:
            return
        yield offset, instruction
        offset += len(instruction.code)


def _is_emulated(instruction: Instruction) -> bool:
    code = instruction.code
    match instruction.kind:
        case Kind.PUSH:
            return len(code) == 1 or (len(code) == 2 and code[0] == 0x41)
        case Kind.NOP:
            return code == b"\x90"
        case Kind.CALL | Kind.JUMP | Kind.BRANCH:
            return True
    return False


def _call_with_same_arguments(code: bytes) -> int | None:
    """Return the target (relative to `code`) of the call reached with untouched arguments."""
    for offset, instruction in _walk(code):
        if instruction.kind is Kind.CALL and instruction.target is not None:
            return offset + instruction.target
        if instruction.kind in {Kind.JUMP, Kind.BRANCH} or instruction.writes & ARGUMENTS:
            return None
    return None


def _call_after_size_check(code: bytes) -> int | None:
    """Return the target of the first call that only a negative size (`test edx,edx; js`) avoids."""
    before = b""
    for offset, instruction in _walk(code):
        if instruction.kind is Kind.CALL and instruction.target is not None:
            return offset + instruction.target
        if instruction.kind is Kind.JUMP:
            return None
        if instruction.kind is Kind.BRANCH and not (
            before == _TEST_EDX and instruction.code.startswith(_JS_OPCODES)
        ):
            return None
        if instruction.writes & {RDI, RSI}:
            return None
        if RDX in instruction.writes and instruction.code not in _EXTEND_EDX:
            return None
        before = instruction.code
    return None
