"""Puts records into the order of their times, within a window.

A tracer with a buffer for each CPU writes one buffer after the other. Pure and bounded.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ordering(Generic[T]):
    """Gives records back once one came that is `window_ns` newer, or `most` are waiting."""

    def __init__(self, window_ns: int, most: int) -> None:
        self._window_ns = window_ns
        self._most = most
        self._waiting: list[tuple[int, int, T]] = []
        self._count = 0
        self._newest_ns = 0

    def add(self, time_ns: int, record: T) -> Iterator[T]:
        """Take a record; yield those whose turn it is. Equal times keep their order."""
        self._count += 1
        heapq.heappush(self._waiting, (time_ns, self._count, record))
        self._newest_ns = max(self._newest_ns, time_ns)
        while self._waiting and (
            self._waiting[0][0] <= self._newest_ns - self._window_ns
            or len(self._waiting) > self._most
        ):
            yield heapq.heappop(self._waiting)[2]

    def rest(self) -> Iterator[T]:
        """Yield all that wait."""
        while self._waiting:
            yield heapq.heappop(self._waiting)[2]
