"""The four interfaces that everything else plugs into.

Components hold no metric code, no retry and no clock: the runner adds them from outside.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol, TypeVar

from agentsight_core.pb.events_pb2 import Event
from agentsight_core.pb.findings_pb2 import Finding

Out_co = TypeVar("Out_co", covariant=True)

# `Analyzer.advance` with this time closes everything that is still open: the log has ended.
END_OF_TIME_NS = 2**63 - 1


class Parser(Protocol[Out_co]):
    """Bytes in, messages out; never waits, never raises on bad input, holds a bounded buffer."""

    def feed(self, data: bytes, *, lost: int = 0) -> Sequence[Out_co]:
        """Take the next bytes; `lost` bytes are missing right before them."""
        ...

    def close(self) -> Sequence[Out_co]:
        """Return what can still be said: the stream has ended."""
        ...


class Source(Protocol):
    """Gives batches of events until it is cancelled; what it drops becomes a Lost event."""

    def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Yield batches; an empty one means that time passed and nothing happened."""
        ...


class Analyzer(Protocol):
    """A deterministic fold over one partition of EVENTS, with state that can be saved and restored.

    The same events give the same findings, byte for byte, on any replica, also when the fold was
    saved and restored anywhere between. Times come from events alone.
    """

    def observe(self, event: Event) -> Iterable[Finding]:
        """Take the next event of the log."""
        ...

    def advance(self, now_ns: int) -> Iterable[Finding]:
        """Event time has reached `now_ns` (Unix ns, from a Tick): close what timed out."""
        ...

    def snapshot(self) -> bytes:
        """Return the whole state."""
        ...

    def restore(self, state: bytes) -> None:
        """Take over a state that `snapshot` of this or an earlier version returned."""
        ...


class Exporter(Protocol):
    """Writes findings to the outside. Returning means durable there."""

    async def export(self, batch: Sequence[Finding]) -> None:
        """Write `batch`; raise Retryable or Permanent if that did not succeed."""
        ...
