"""The decoder agrees with objdump on every instruction that it claims to know."""

import re
import shutil
import subprocess

import pytest
from agentsight_agent.tls.x86 import RAX, RCX, RDX, RSP, Instruction, Kind, decode

LINE = re.compile(r"\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t(.*)")
LIBSSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3"


def disassemble(path: str, *, lines: int) -> list[tuple[int, bytes, str]]:
    objdump = shutil.which("objdump")
    assert objdump, "binutils are part of the set-up"
    with subprocess.Popen([objdump, "-d", "-w", path], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        found = []
        for line in run.stdout:
            match = LINE.match(line)
            if match:
                found.append((int(match[1], 16), bytes.fromhex(match[2]), match[3]))
            if len(found) == lines:
                run.kill()
                break
    return found


def test_lengths_and_targets_agree_with_objdump() -> None:
    listing = disassemble(LIBSSL, lines=40_000)
    known = 0
    for address, code, text in listing:
        # What follows must not matter, so something follows.
        instruction = decode(code + bytes(16))
        if instruction is None:
            continue
        known += 1
        assert instruction.code == code, text
        if instruction.target is not None:
            target = re.search(r"\s([0-9a-f]+)\s", text + " ")
            assert target is not None
            assert address + instruction.target == int(target[1], 16), text
    assert known > 0.8 * len(listing)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("55", Instruction(Kind.PUSH, b"\x55", frozenset({RSP}))),
        ("4156", Instruction(Kind.PUSH, b"\x41\x56", frozenset({RSP}))),
        ("90", Instruction(Kind.NOP, b"\x90")),
        ("4883ec18", Instruction(Kind.OTHER, bytes.fromhex("4883ec18"), frozenset({RSP}))),
        ("4863d2", Instruction(Kind.OTHER, bytes.fromhex("4863d2"), frozenset({RDX}))),
        ("4889e1", Instruction(Kind.OTHER, bytes.fromhex("4889e1"), frozenset({RCX}))),
        ("b8ffffffff", Instruction(Kind.OTHER, bytes.fromhex("b8ffffffff"), frozenset({RAX}))),
        # mov %al,%ch is a write to rcx, although ch has the number of rbp.
        ("88c5", Instruction(Kind.OTHER, bytes.fromhex("88c5"), frozenset({RCX}))),
        # cmp changes no register, sub of the same group does.
        ("83f805", Instruction(Kind.OTHER, bytes.fromhex("83f805"))),
        ("7840", Instruction(Kind.BRANCH, b"\x78\x40", target=0x42)),
        ("ebfe", Instruction(Kind.JUMP, b"\xeb\xfe", target=0)),
        ("e8fbffffff", Instruction(Kind.CALL, bytes.fromhex("e8fbffffff"), target=0)),
    ],
)
def test_forms_of_prologues(code: str, expected: Instruction) -> None:
    assert decode(bytes.fromhex(code) + b"\xcc" * 8) == expected


@pytest.mark.parametrize("code", ["", "48", "4883", "e8fbff", "c3", "660f38", "f30f1e", "0f05"])
def test_unknown_or_cut_is_none(code: str) -> None:
    assert decode(bytes.fromhex(code)) is None
