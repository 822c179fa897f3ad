"""Which programs are so well known that the kernel side need not tell when they start.

A machine starts the same few programs again and again: shells, compilers. One that was looked at
several times, has no TLS and can begin no session is left out; its processes are looked at when
they begin to use the network. Must not look at processes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from agentsight_agent.bpf.familiar import Program
from agentsight_agent.sessions.interest import Interest
from agentsight_agent.tls.discovery import Identity

# Of a program, before it is familiar: its processes load different libraries.
_STARTS = 3
# Programs and processes that are remembered; with more, all begin anew.
_MAX_REMEMBERED = 4096


class ProgramTable(Protocol):
    """The kernel side's tables: `agentsight_agent.bpf.familiar.FamiliarPrograms`."""

    def set_marks(self, marks: Sequence[bytes]) -> None:
        """Have all starts told until `add`, and then those with one of `marks` as well."""
        ...

    def started_by(self, pid: int) -> Program | None:
        """Return the program that a process has begun."""
        ...

    def add(self, program: Program) -> None:
        """Have the starts of a program left out."""
        ...

    def add_no_more(self, program: Program) -> None:
        """Have the starts of a program told for good."""
        ...


class Familiarity:
    """Counts starts. All methods belong in one thread, except `judge_by`, which may be in any."""

    def __init__(self, table: ProgramTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._interest = Interest()
        self._starts: dict[Program, int] = {}
        self._running: dict[int, Program] = {}

    def judge_by(self, interest: Interest) -> None:
        """From now on `interest` says what may begin a session; no program is familiar at first."""
        with self._lock:
            self._interest = interest
            self._table.set_marks(interest.marks)

    def started(self, pid: int, path: str, identity: Identity) -> None:
        """Process `pid` runs the file at `path`, which was looked at for TLS."""
        program = self._table.started_by(pid)
        # The process may have gone on to another program meanwhile.
        if program is None or (program.inode, program.size_bytes) != (
            identity.inode,
            identity.size,
        ):
            return
        if max(len(self._starts), len(self._running)) >= _MAX_REMEMBERED:
            self._starts.clear()
            self._running.clear()
        self._running[pid] = program
        starts = self._starts[program] = self._starts.get(program, 0) + 1
        with self._lock:
            if starts >= _STARTS and not self._interest.may_match(path):
                self._table.add(program)

    def uses_tls(self, pid: int) -> None:
        """Process `pid` was found to have TLS code, in its program or in a library."""
        program = self._running.get(pid)
        if program is not None:
            self._starts.pop(program, None)
            self._table.add_no_more(program)

    def ended(self, pid: int) -> None:
        """Process `pid` runs its program no more."""
        self._running.pop(pid, None)
