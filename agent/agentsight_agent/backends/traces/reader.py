"""What a reader of a trace is: bytes in, items out, and an account of what it could not read.

Must not know formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.bpf.records import Item


@dataclass(slots=True)
class TraceAccount:
    """Totals of one trace; records in = `read` + all of `unused` + all of `lost`."""

    # Records that were understood and used.
    read: int = 0
    # Records that tell of nothing we have an event for, by reason.
    unused: dict[str, int] = field(default_factory=dict)
    # Records that the tracer itself has lost or that could not be read, by reason.
    lost: dict[str, int] = field(default_factory=dict)
    # Plaintext that the records speak of and do not hold.
    lost_bytes: int = 0

    def leave(self, reason: str, count: int = 1) -> None:
        """Count records that are of no use."""
        self.unused[reason] = self.unused.get(reason, 0) + count

    def lose(self, reason: str, count: int = 1) -> None:
        """Count records that are missing."""
        self.lost[reason] = self.lost.get(reason, 0) + count

    def forget(self, reason: str, count: int = 1) -> None:
        """Count records that had been read and of which nothing comes any more."""
        self.read -= count
        self.lose(reason, count)


@dataclass(frozen=True, slots=True)
class Unused:
    """Why a record has no item."""

    reason: str


class TraceReader(Protocol):
    """Turns the bytes of a trace into items; any chunking gives the same. Never raises on input."""

    account: TraceAccount
    # What Unix time is ahead of the times of the items; known when the first item is there.
    wall_offset_ns: int

    def feed(self, data: bytes) -> list[Item]:
        """Take the next bytes; return the items that they complete, in the order of their times."""
        ...

    def close(self) -> list[Item]:
        """Return the rest: the trace ends here."""
        ...

    def is_root(self, event: pb.Event) -> bool:
        """Say whether the process that executes a program (`event`) begins a session."""
        ...


# Makes a reader; the argument is the pid that begins the session, None: the trace tells.
MakeReader = Callable[[int | None], TraceReader]
