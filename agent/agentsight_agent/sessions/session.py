"""What a session is, and what its tracker needs from the kernel side.

Must not decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class TrackingKernel(Protocol):
    """What follows processes: `agentsight_agent.bpf.kernel.Kernel`."""

    def track(self, pid: int, session: int, *, quiet: bool = False) -> None:
        """Watch process `pid` and all its later children; `quiet`: only that they begin and end."""
        ...

    def mute_process(self, pid: int) -> None:
        """Do not look at what `pid` says, until it executes another program."""
        ...

    def untrack(self, pid: int) -> None:
        """Stop watching process `pid`."""
        ...


class KernelRecord(Protocol):
    """A record of a process: `agentsight_agent.bpf.records.ProcessRecord`."""

    event: bytes


@dataclass(slots=True)
class Session:
    """One process tree that is being watched."""

    id: int
    root_pid: int
    agent_name: str
    live: set[int] = field(default_factory=set)
    exit_code: int = 0
    exit_signal: int = 0
    # Processes that /proc does not have; on the second time they are taken for gone.
    missing: set[int] = field(default_factory=set)
    # Containers of which it has been told where their files are.
    placed: set[str] = field(default_factory=set)
