"""Publishes what the spool holds: one frame of a session at a time, several sessions at once.

One in flight per session keeps their order over retries. Must not look into frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.failures import TooLarge
from agentsight_core.bus.pace import Pace
from agentsight_core.errors import Retryable
from agentsight_core.spool.segments import SpooledFrame
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Stage

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """How hard to try."""

    # Sessions with a frame in flight at the same time.
    window: int = 32
    ack_seconds: float = 2.0
    # Jittered waits between attempts grow from the first to the last.
    first_wait_seconds: float = 0.05
    last_wait_seconds: float = 1.0


class Publisher:
    """Moves frames from a spool to the bus until it is cancelled; never gives a frame up."""

    def __init__(
        self,
        spool: Spool,
        bus: Bus,
        stage: Stage,
        settings: PublisherSettings | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._spool = spool
        self._bus = bus
        self._stage = stage
        self._settings = settings or PublisherSettings()
        self._pace = pace or Pace(lambda: 0)
        self._emptied = asyncio.Event()
        # Attempts that had to be repeated.
        self.retries = 0

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._settings.window):
                group.create_task(self._work(), name=f"publisher-{number}")

    async def drain(self, seconds: float) -> bool:
        """Wait until the spool is empty, `seconds` at most; tell whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._spool.held:
                    self._emptied.clear()
                    await self._emptied.wait()
        return not self._spool.held

    async def _work(self) -> None:
        while True:
            entry = await self._spool.lease()
            try:
                delivered = await self._deliver(entry)
            except BaseException:
                self._spool.release(entry)
                raise
            if delivered:
                self._stage.received += 1
                self._stage.emitted += 1
                self._spool.ack(entry)
            else:
                self._spool.refuse(entry, "too_large")
            if not self._spool.held:
                self._emptied.set()

    async def _deliver(self, entry: SpooledFrame) -> bool:
        """Publish until it is acknowledged; False if the server takes no frame of this size."""
        assert entry.frame is not None, "a leased frame is in memory"
        message = Outgoing(
            subjects.event_subject(entry.header),
            entry.frame,
            {subjects.MESSAGE_ID: subjects.message_id(entry.header)},
        )
        wait = self._settings.first_wait_seconds
        while True:
            await self._pace.wait(len(entry.frame))
            try:
                await self._bus.publish(message, self._settings.ack_seconds)
            except TooLarge:
                _log.error(
                    "a frame of %d bytes is too large for the bus; it allows %d",
                    len(entry.frame),
                    self._bus.max_payload_bytes,
                )
                return False
            except Retryable:
                self.retries += 1
            else:
                return True
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311  # spreads retries, hides nothing
            wait = min(wait * 2, self._settings.last_wait_seconds)
