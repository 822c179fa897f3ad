"""The thread that looks for code to hook: it reads big files, which must hold up nothing.

One thing at a time. Must not know what is looked for; the clock is the caller's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from agentsight_agent.looks import NEVER_NS

# So long may wait what nobody waits for: to wake the thread up costs more than most jobs.
_MAY_WAIT_NS = 200_000_000


class Seeker:
    """Does the jobs that it is given, in their order, and looks again when it is time.

    `due` takes the looks whose time has come and returns when the next ones are.
    """

    def __init__(self, due: Callable[[int], int]) -> None:
        self._due = due
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seeker")
        self._running: Future[int] | None = None
        # The thread takes what comes while it is at work, too: turns are far apart for that.
        self._jobs: deque[Callable[[], None]] = deque()
        self._jobs_due_ns = NEVER_NS
        self._next_look_ns = 0

    @property
    def next_ns(self) -> int:
        """When `turn` is to be called again; NEVER_NS if not before it has something new to do."""
        if self._running is not None:
            return NEVER_NS
        return min(self._next_look_ns, self._jobs_due_ns)

    @property
    def is_busy(self) -> bool:
        """True until `turn` has heard that all it was given is done."""
        return self._running is not None

    async def run(self, job: Callable[[], None]) -> None:
        """Do `job`, and return when it is done."""
        await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def soon(self, job: Callable[[], None]) -> None:
        """Do `job` at the next turn, or now if the thread is at work."""
        self._jobs.append(job)
        self._jobs_due_ns = 0

    def later(self, job: Callable[[], None], now_ns: int) -> None:
        """Do `job` with the next one that cannot wait, or after a moment."""
        self._jobs.append(job)
        self._jobs_due_ns = min(self._jobs_due_ns, now_ns + _MAY_WAIT_NS)

    def turn(self, now_ns: int) -> None:
        """Have the thread go on if it is idle and there is something to do.

        Raises what the last turn's work has raised.
        """
        if self._running is not None:
            if not self._running.done():
                return
            self._next_look_ns = self._running.result()
            self._running = None
            if not self._jobs:
                self._jobs_due_ns = NEVER_NS
        if now_ns < self.next_ns:
            return
        self._jobs_due_ns = NEVER_NS

        def work() -> int:
            while self._jobs:
                self._jobs.popleft()()
            return self._due(now_ns)

        # Not through the loop, which would be woken by its end: it is asked for at the next turn.
        self._running = self._thread.submit(work)

    def close(self) -> None:
        """Wait for the thread, if it is at work; what it was not given yet is not done."""
        self._thread.shutdown(cancel_futures=True)
