"""Arrival times: which bytes of a buffer came when, kept right while bytes are cut out or replaced.

Pieces are two sequences of equal length, `offsets` (ascending, the first is 0) and `times_ns`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Pieces = tuple[tuple[int, ...], tuple[int, ...]]


def time_at(offsets: Sequence[int], times_ns: Sequence[int], position: int) -> int:
    """Return when the byte at `position` arrived; 0 when no piece covers it."""
    index = bisect_right(offsets, position) - 1
    return times_ns[index] if index >= 0 else 0


def cut(offsets: Sequence[int], times_ns: Sequence[int], start: int, end: int) -> Pieces:
    """Return the pieces of the bytes from `start` to `end`, offsets counted from `start`."""
    first = bisect_right(offsets, start)
    last = bisect_left(offsets, end)
    if first == 0:  # no piece covers `start`: the caller gave no time for it
        return (0, *(o - start for o in offsets[first:last])), (0, *times_ns[first:last])
    if start == 0:
        return tuple(offsets[:last]), tuple(times_ns[:last])
    return (0, *(o - start for o in offsets[first:last])), tuple(times_ns[first - 1 : last])


def remap(
    offsets: Sequence[int],
    times_ns: Sequence[int],
    segments: Sequence[tuple[int, int]],
    total: int,
) -> Pieces:
    """Move pieces from an old buffer to a new one that was made from it by cutting and replacing.

    Each of `segments` is (old start, new start) of a stretch that was carried over, ascending in
    both; `total` is the length of the new buffer. A piece of which nothing is left is dropped.
    """
    new_offsets: list[int] = []
    new_times: list[int] = []
    last = len(segments) - 1
    current = 0
    for offset, time_ns in zip(offsets, times_ns, strict=True):
        while current < last and segments[current + 1][0] <= offset:
            current += 1
        old_start, new_start = segments[current]
        limit = segments[current + 1][1] if current < last else total
        position = min(new_start + max(offset - old_start, 0), limit)
        if new_offsets and new_offsets[-1] == position:
            new_times[-1] = time_ns
        else:
            new_offsets.append(position)
            new_times.append(time_ns)
    while new_offsets and new_offsets[-1] >= total:
        new_offsets.pop()
        new_times.pop()
    return tuple(new_offsets), tuple(new_times)
