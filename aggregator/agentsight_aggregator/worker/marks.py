"""High-water marks: which frames of which agent have been folded.

The server's own deduplication forgets after minutes; an agent may send a frame again after days.

Pure: time is an argument, and part of the log.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

# Longer than any spool or stream keeps a frame.
RETENTION_NS = 14 * 86_400 * 1_000_000_000
_PRUNE_EVERY_NS = 3_600 * 1_000_000_000


class Mark(msgspec.Struct, array_like=True):
    """The last frame seen of a session in one run of an agent."""

    agent_id: str
    epoch_ns: int
    session: int
    seq: int
    # Log time at which the mark last moved.
    moved_ns: int


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the number of a frame says."""

    is_duplicate: bool
    # Frames that should have come before and did not.
    missing: int


class Marks:
    """Marks of one partition."""

    def __init__(self, marks: list[Mark], now_ns: int = 0, pruned_ns: int = 0) -> None:
        self._marks = {(mark.agent_id, mark.epoch_ns, mark.session): mark for mark in marks}
        self.now_ns = now_ns
        self.pruned_ns = pruned_ns

    def arrive(self, agent_id: str, epoch_ns: int, session: int, seq: int) -> Arrival:
        """Take note of a frame."""
        mark = self._marks.get((agent_id, epoch_ns, session))
        if mark is None:
            self._marks[agent_id, epoch_ns, session] = Mark(
                agent_id, epoch_ns, session, seq, self.now_ns
            )
            return Arrival(is_duplicate=False, missing=seq - 1)
        if seq <= mark.seq:
            return Arrival(is_duplicate=True, missing=0)
        missing = seq - mark.seq - 1
        mark.seq, mark.moved_ns = seq, self.now_ns
        return Arrival(is_duplicate=False, missing=missing)

    def advance(self, now_ns: int) -> None:
        """Take note of the time in the log (Unix ns), and forget what is too old to come again."""
        self.now_ns = max(self.now_ns, now_ns)
        if self.now_ns - self.pruned_ns < _PRUNE_EVERY_NS:
            return
        self.pruned_ns = self.now_ns
        self._marks = {
            key: mark
            for key, mark in self._marks.items()
            # Marks from before the first tick have no time: theirs begins now.
            if self.now_ns - (mark.moved_ns or self.now_ns) < RETENTION_NS
        }
        for mark in self._marks.values():
            mark.moved_ns = mark.moved_ns or self.now_ns

    def as_list(self) -> list[Mark]:
        """Return all marks in an order that is the same on every replica."""
        return [mark for _, mark in sorted(self._marks.items())]
