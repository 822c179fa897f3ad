"""Source plugins: events of others about processes that are watched.

Each runs in a thread with an event loop of its own, so that one that hangs holds up nothing. A
source can add files and connections of processes that are in a session; content it cannot add, as
that would pass by the redaction. Must not trust what a source says about sessions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Self

from agentsight_core.pb import events_pb2 as pb
from agentsight_core.ports import Source
from agentsight_core.telemetry.ledger import Stage

_log = logging.getLogger(__name__)

_KINDS = frozenset({"file_opened", "file_closed", "file_changed", "net_connected", "net_closed"})
_FIRST_WAIT_S = 0.5
_LAST_WAIT_S = 30.0
# Batches between the thread and the agent; a source that is quicker waits.
_WAITING = 64
_STOP_S = 2.0


class PluginSource:
    """One source plugin at work; an async context manager.

    `take` gets its events in the agent's own loop. `stage` (unit "events") counts them: those of
    processes in no session are filtered, those of a kind that a source may not add are dropped. One
    that raises is begun anew; after as many failures as `max_failures` then says it is off.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Source],
        session_of: Callable[[int], int],
        take: Callable[[Iterable[pb.Event]], None],
        stage: Stage,
        max_failures: Callable[[], int],
    ) -> None:
        self.name = name
        self.failures = 0
        # False once it has failed too often.
        self.is_on = True
        self._make = make
        self._session_of = session_of
        self._take = take
        self._stage = stage
        self._max_failures = max_failures
        self._room = threading.Semaphore(_WAITING)
        self._stopping = threading.Event()
        self._closed = False
        self._theirs: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None

    async def __aenter__(self) -> Self:
        """Start its thread."""
        self._ours = asyncio.get_running_loop()
        # A thread that hangs in foreign code must not keep the process alive.
        self._thread = threading.Thread(
            target=self._run_thread, name=f"source-{self.name}", daemon=True
        )
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop it; one that does not stop is left behind."""
        self._stopping.set()
        if self._theirs is not None:
            loop, task = self._theirs
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)
        # Meanwhile what it has handed over is taken.
        await asyncio.to_thread(self._thread.join, _STOP_S)
        self._closed = True
        if self._thread.is_alive():
            _log.warning("source %s does not stop; it is left behind", self.name)

    def _run_thread(self) -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(self._read_forever())

    async def _read_forever(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._theirs = (asyncio.get_running_loop(), task)
        wait_s = _FIRST_WAIT_S
        while not self._stopping.is_set():
            try:
                source = self._make()
                async for batch in source.batches():
                    await self._hand_over(batch)
            except (Exception, SystemExit) as error:  # noqa: BLE001  # code of others: it costs its own events, not the agent
                self.failures += 1
                self.is_on = self.failures < self._max_failures()
                _log.warning("source %s: %s: %s", self.name, type(error).__name__, error)
                if not self.is_on:
                    _log.error("source %s is switched off", self.name)
                    return
            else:
                return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LAST_WAIT_S)

    async def _hand_over(self, batch: Sequence[pb.Event]) -> None:
        while not self._room.acquire(blocking=False):  # noqa: ASYNC110  # the room is made in another thread
            await asyncio.sleep(0.01)
        copies = [_copy(event) for event in batch]
        self._ours.call_soon_threadsafe(self._receive, copies)

    def _receive(self, batch: Sequence[pb.Event]) -> None:
        """Take a batch, in the agent's loop."""
        self._room.release()
        self._stage.received += len(batch)
        if self._closed:
            self._stage.drop("after_the_stop", len(batch))
            return
        good = []
        for event in batch:
            event.session = self._session_of(event.pid)
            if event.WhichOneof("body") not in _KINDS:
                self._stage.drop("kind_not_allowed")
            elif not event.session:
                self._stage.filter("not in a session")
            else:
                good.append(event)
        self._take(good)
        self._stage.emitted += len(good)


def _copy(event: pb.Event) -> pb.Event:
    copy = pb.Event()
    copy.CopyFrom(event)
    return copy
