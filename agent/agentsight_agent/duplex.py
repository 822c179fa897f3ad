"""Both directions of a connection at once, taken apart in the order in which the bytes came.

Must not read the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agentsight_agent.bpf.records import TlsDuplex, TlsRun


class Turns(Iterator[TlsRun]):
    """Runs of one direction after the other, as long as each spoke before the other did."""

    def __init__(self, duplex: TlsDuplex) -> None:
        self._sides = (duplex.first, duplex.second)
        self._begins = [0, 0]
        self._side = 0

    def __next__(self) -> TlsRun:
        side, begins, sides = self._side, self._begins, self._sides
        if self._has_said_all(side):
            raise StopIteration
        begin = begins[side]
        end = _end_of_turn(sides[side], begin, sides[1 - side], begins[1 - side])
        begins[side] = end
        if not self._has_said_all(1 - side):
            self._side = 1 - side
        return _stretch(sides[side], begin, end)

    def rest_bytes(self, written: bool) -> int:
        """Return how many bytes of a direction have not been yielded yet."""
        side = 0 if self._sides[0].written is written else 1
        if self._has_said_all(side):
            return 0
        run = self._sides[side]
        return len(run.data) - run.offsets[self._begins[side]]

    def take_rest(self) -> Iterator[TlsRun]:
        """Yield the rest of each direction in one piece, where there is one, and end."""
        for side, run in enumerate(self._sides):
            if not self._has_said_all(side):
                begin, self._begins[side] = self._begins[side], len(run.times_ns)
                yield _stretch(run, begin, len(run.times_ns))

    def _has_said_all(self, side: int) -> bool:
        return self._begins[side] == len(self._sides[side].times_ns)


def _end_of_turn(speaker: TlsRun, begin: int, other: TlsRun, other_begin: int) -> int:
    """Return the first piece of `speaker` behind `begin` that came after the other's next one."""
    times_ns = speaker.times_ns
    if other_begin == len(other.times_ns):
        return len(times_ns)
    next_ns = other.times_ns[other_begin]
    end = begin + 1
    while end < len(times_ns) and times_ns[end] <= next_ns:
        end += 1
    return end


def _stretch(run: TlsRun, begin: int, end: int) -> TlsRun:
    """Return the pieces `begin` to `end` of a run."""
    if begin == 0 and end == len(run.offsets):
        return run
    starts = run.offsets[begin]
    stops = run.offsets[end] if end < len(run.offsets) else len(run.data)
    return replace(
        run,
        data=run.data[starts:stops],
        offsets=tuple(offset - starts for offset in run.offsets[begin:end]),
        times_ns=run.times_ns[begin:end],
        lost_bytes=run.lost_bytes if begin == 0 else 0,
    )
