"""Merges several streams in event time: a priority queue behind a watermark.

The watermark is the time before which nothing more is waited for. It follows the slowest source,
but stays at most `lateness_ns` behind the newest item and behind the clock that the caller shows:
one silent source holds nobody up for longer. What comes behind the watermark is given on at once
and counted. Pure: time is an argument. Must not know what it merges.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

_BEGINNING_NS = -(2**63)
_END_NS = 2**63


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """How long an item may be waited for, and how much may wait meanwhile."""

    lateness_ns: int
    max_items: int = 10_000
    max_bytes: int = 16 << 20


@dataclass(slots=True)
class MergeAccount:
    """What became of the items: received = released + held, at any moment."""

    received: int = 0
    released: int = 0
    # Of the released: came when a younger item was gone already.
    late: int = 0
    # By how much at most.
    max_late_ns: int = 0
    # Of the released: given on before the watermark because too many were held.
    early: int = 0


class Merge(Generic[Item]):
    """Merges streams whose items come roughly in the order of their times.

    Items no more than `lateness_ns` older than the newest one come out in the order of time; equal
    times keep the order of arrival. `sources` are all there are: with each of them heard nothing is
    waited for that cannot come. Without `sources` lateness alone decides.
    """

    def __init__(self, settings: MergeSettings, sources: Iterable[Hashable] = ()) -> None:
        self._settings = settings
        self._heard_ns: dict[Hashable, int] = dict.fromkeys(sources, _BEGINNING_NS)
        self._has_sources = bool(self._heard_ns)
        self._newest_ns = _BEGINNING_NS
        self._clock_ns = _BEGINNING_NS
        # How far the newest item was ahead of the clock: nodes' clocks differ.
        self._ahead_ns = 0
        # The time of the youngest item that was given on.
        self._released_ns = _BEGINNING_NS
        # (time, number of arrival, size, item): the number is unique, items are never compared.
        self._waiting: list[tuple[int, int, int, Item]] = []
        self._ready: list[Item] = []
        self._waiting_bytes = 0
        self.account = MergeAccount()

    @property
    def held(self) -> int:
        """Items taken and not yet given on."""
        return len(self._waiting) + len(self._ready)

    @property
    def watermark_ns(self) -> int:
        """The time up to which items are given on."""
        latest_ns = max(self._newest_ns, self._clock_ns + self._ahead_ns)
        patience_ns = latest_ns - self._settings.lateness_ns
        if not self._has_sources:
            return patience_ns
        return max(patience_ns, min(self._heard_ns.values(), default=_END_NS))

    def add(self, source: Hashable, time_ns: int, item: Item, size_bytes: int = 0) -> None:
        """Take the next item of `source`; items of one source come in order, or are late."""
        self.account.received += 1
        self._newest_ns = max(self._newest_ns, time_ns)
        if source in self._heard_ns:
            self._heard_ns[source] = max(self._heard_ns[source], time_ns)
        if time_ns < self._released_ns:
            self.account.late += 1
            self.account.max_late_ns = max(self.account.max_late_ns, self._released_ns - time_ns)
            self._ready.append(item)
            return
        heapq.heappush(self._waiting, (time_ns, self.account.received, size_bytes, item))
        self._waiting_bytes += size_bytes
        while self._is_full():
            self.account.early += self._waiting[0][0] > self.watermark_ns
            self._release_oldest()

    def advance(self, now_ns: int) -> None:
        """Say what time it is; not to be used while catching up.

        No item waits for longer than the lateness from then on, not even one with a time to come.
        """
        self._clock_ns = max(self._clock_ns, now_ns)
        self._ahead_ns = max(self._ahead_ns, self._newest_ns - self._clock_ns)

    def end(self, source: Hashable) -> None:
        """Say that nothing more comes from `source`."""
        self._heard_ns.pop(source, None)

    def take(self) -> list[Item]:
        """Return what is due, in order."""
        return self._release_until(self.watermark_ns)

    def drain(self) -> list[Item]:
        """Return everything that is held, in order: nothing more is waited for."""
        return self._release_until(_END_NS)

    def _is_full(self) -> bool:
        return len(self._waiting) > self._settings.max_items or (
            self._waiting_bytes > self._settings.max_bytes and len(self._waiting) > 1
        )

    def _release_until(self, time_ns: int) -> list[Item]:
        while self._waiting and self._waiting[0][0] <= time_ns:
            self._release_oldest()
        ready, self._ready = self._ready, []
        self.account.released += len(ready)
        return ready

    def _release_oldest(self) -> None:
        time_ns, _, size_bytes, item = heapq.heappop(self._waiting)
        self._waiting_bytes -= size_bytes
        self._released_ns = time_ns
        self._ready.append(item)
