"""When processes are to be looked at: some times after they began a program, and at no other.

Pure; the clock is the caller's. Must not know what is looked for.
"""

from __future__ import annotations

import heapq

NEVER_NS = 1 << 63


class Looks:
    """Looks to come, by their times; `after_ns` says how long after the begin of a program each is.

    The caller asks for the next look at a process when it has taken one and the process is alive.
    """

    def __init__(self, after_ns: tuple[int, ...], *, together_ns: int = 1) -> None:
        """Put looks off to multiples of `together_ns`, so that many are taken at once."""
        self._after_ns = after_ns
        self._together_ns = together_ns
        # (when, process, how many looks it had)
        self._waiting: list[tuple[int, int, int]] = []

    @property
    def next_ns(self) -> int:
        """When the next look is due; NEVER_NS if there is none."""
        return self._waiting[0][0] if self._waiting else NEVER_NS

    def begin(self, pid: int, now_ns: int) -> None:
        """Process `pid` begins a program."""
        self.go_on(pid, 0, now_ns)

    def once(self, pid: int, now_ns: int) -> None:
        """Look at `pid` now, and not again."""
        heapq.heappush(self._waiting, (now_ns, pid, len(self._after_ns)))

    def take(self, now_ns: int) -> tuple[int, int] | None:
        """Return a process whose look is due, and how many it had before; None if none is."""
        if self.next_ns > now_ns:
            return None
        _, pid, taken = heapq.heappop(self._waiting)
        return pid, taken

    def go_on(self, pid: int, taken: int, now_ns: int) -> None:
        """Process `pid` has had `taken` looks, the last of them now: wait for the next, if any."""
        if taken < len(self._after_ns):
            # The times count from the begin, `now_ns` is the time of the look before.
            wait_ns = self._after_ns[taken] - (self._after_ns[taken - 1] if taken else 0)
            due_ns = -(-(now_ns + wait_ns) // self._together_ns) * self._together_ns
            heapq.heappush(self._waiting, (due_ns, pid, taken))

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
