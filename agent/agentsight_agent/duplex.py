"""Both directions of a connection at once, taken apart in the order in which the bytes came.

Must not read the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agentsight_agent.bpf.records import TlsDuplex, TlsRun


def in_turns(duplex: TlsDuplex) -> Iterator[TlsRun]:
    """Yield runs of one direction after the other, as long as each spoke before the other did."""
    sides = (duplex.first, duplex.second)
    begins, side = [0, 0], 0
    while begins[side] < len(sides[side].times_ns):
        end = _end_of_turn(sides[side], begins[side], sides[1 - side], begins[1 - side])
        yield _stretch(sides[side], begins[side], end)
        begins[side] = end
        side = 1 - side
        if begins[side] == len(sides[side].times_ns):
            side = 1 - side


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
    starts = run.offsets[begin]
    stops = run.offsets[end] if end < len(run.offsets) else len(run.data)
    return replace(
        run,
        data=run.data[starts:stops],
        offsets=tuple(offset - starts for offset in run.offsets[begin:end]),
        times_ns=run.times_ns[begin:end],
        lost_bytes=run.lost_bytes if begin == 0 else 0,
    )
