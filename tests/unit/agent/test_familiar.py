"""When a program becomes familiar, and when it is so no more."""

import struct
from collections.abc import Sequence

from agentsight_agent.bpf.familiar import Program
from agentsight_agent.familiar import Familiarity
from agentsight_agent.sessions.interest import Interest
from agentsight_agent.sessions.rules import SessionRule
from agentsight_agent.tls.discovery import Identity

PATH = "/usr/bin/cc1"
FILE = Identity(device=1, inode=7, mtime_ns=1, size=500)
PROGRAM = Program(struct.pack("<QQII64s", 7, 500, 1, 0, b"cc1"))


class Table:
    """What the kernel side would have been told; every process runs `program`."""

    def __init__(self) -> None:
        self.program: Program | None = PROGRAM
        self.familiar: set[Program] = set()
        self.no_more: list[Program] = []
        self.marks: Sequence[bytes] = ()

    def set_marks(self, marks: Sequence[bytes]) -> None:
        self.marks = marks
        self.familiar.clear()

    def started_by(self, pid: int) -> Program | None:
        return self.program

    def add(self, program: Program) -> None:
        self.familiar.add(program)

    def add_no_more(self, program: Program) -> None:
        self.familiar.discard(program)
        self.no_more.append(program)


def start(familiarity: Familiarity, *pids: int) -> None:
    for pid in pids:
        familiarity.started(pid, PATH, FILE)


def test_a_program_is_familiar_after_some_starts() -> None:
    table = Table()
    familiarity = Familiarity(table)
    start(familiarity, 1, 2)
    assert not table.familiar
    start(familiarity, 3)
    assert table.familiar == {PROGRAM}


def test_a_program_with_tls_is_told_again_and_counts_from_the_begin() -> None:
    table = Table()
    familiarity = Familiarity(table)
    start(familiarity, 1, 2, 3)
    familiarity.uses_tls(2)
    assert table.no_more == [PROGRAM]
    start(familiarity, 4, 5)
    assert not table.familiar


def test_who_is_gone_says_nothing_about_the_program() -> None:
    table = Table()
    familiarity = Familiarity(table)
    start(familiarity, 1)
    familiarity.ended(1)
    familiarity.uses_tls(1)
    assert not table.no_more


def test_a_program_that_is_another_one_by_now_is_not_counted() -> None:
    table = Table()
    familiarity = Familiarity(table)
    table.program = Program(struct.pack("<QQII64s", 7, 501, 1, 0, b"cc1"))
    start(familiarity, 1, 2, 3)
    table.program = None
    start(familiarity, 4, 5, 6)
    assert not table.familiar


def test_a_program_that_a_rule_may_match_is_never_familiar() -> None:
    table = Table()
    familiarity = Familiarity(table)
    familiarity.judge_by(Interest([SessionRule("r", executable="cc*")]))
    start(familiarity, 1, 2, 3, 4)
    assert not table.familiar
    familiarity.judge_by(Interest([SessionRule("r", argv="agent")], max_marks=1))
    assert table.marks == (b"agent",)
    start(familiarity, 5)
    assert table.familiar == {PROGRAM}


def test_what_is_remembered_has_an_end() -> None:
    table = Table()
    familiarity = Familiarity(table)
    for inode in range(5000):
        table.program = Program(struct.pack("<QQII64s", inode, 500, 1, 0, b"made"))
        familiarity.started(inode, PATH, Identity(1, inode, 1, 500))
    assert len(familiarity._starts) < 4097
    assert len(familiarity._running) < 4097
