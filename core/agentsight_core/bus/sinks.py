"""One exporter and what it needs around it: one batch at a time, attempts, dead letters, counts.

A sink that is away is waited for; findings that it refuses for good become dead letters. Must not
know where findings come from, nor keep positions.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.bus.letters import DeadLetter, write_letter
from agentsight_core.errors import CannotOpen, Permanent, Retryable
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.ports import Exporter
from agentsight_core.telemetry.ledger import Stage

_log = logging.getLogger(__name__)


class NotNow(Retryable):
    """The attempt is not to be made: the partition or the exporter is somebody else's business."""


# Entered around each attempt; raises NotNow.
Attempt = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """The rhythm of an exporter."""

    batch: int = 256
    batch_bytes: int = 4 << 20
    # Jittered waits between attempts grow from the first to the last.
    first_wait_seconds: float = 0.2
    last_wait_seconds: float = 30.0
    # How often to look for findings that nobody has told about.
    poll_seconds: float = 5.0
    # How long to wait for a former owner that is alive to finish its batch.
    patience_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class _Item:
    message: StoredMessage
    finding: Finding


class Sink:
    """The exporter `name`, for any number of partitions; `stage` counts findings."""

    def __init__(
        self,
        name: str,
        exporter: Exporter,
        bus: Bus,
        stage: Stage,
        settings: ExportSettings | None = None,
    ) -> None:
        self.name = name
        self.settings = settings or ExportSettings()
        self._exporter = exporter
        self._bus = bus
        self._stage = stage
        # An exporter is called once at a time; who waits for its sink holds this.
        self._gate = asyncio.Lock()
        # Attempts that the sink was not ready for.
        self.retries = 0
        self.is_on = True

    def switch_off(self) -> None:
        """Make no attempt any more."""
        self.is_on = False

    def lose(self, reason: str, count: int) -> None:
        """Count `count` findings that the sink will never have."""
        _log.error("exporter %s: %d findings are lost: %s", self.name, count, reason)
        self._stage.received += count
        self._stage.drop(reason, count)

    async def deliver(
        self, messages: Sequence[StoredMessage], attempt: Attempt, settled: Callable[[int], None]
    ) -> None:
        """Return when the sink has, or the dead letters have, all of `messages`.

        `settled` is told the sequence up to which that is so. Raises Retryable (NotNow when
        `attempt` does).
        """
        held = len(messages)
        self._stage.received += held
        self._stage.held += held

        def settle(items: Sequence[_Item], emitted: int) -> None:
            nonlocal held
            held -= len(items)
            self._stage.held -= len(items)
            self._stage.emitted += emitted
            settled(items[-1].message.sequence)

        try:
            items = []
            for message in messages:
                try:
                    items.append(_Item(message, Finding.FromString(self._bus.content(message))))
                except (CannotOpen, DecodeError) as error:
                    await self._bury(message, str(error))
                    held -= 1
                    self._stage.held -= 1
            await self._deliver(items, attempt, settle)
            settled(messages[-1].sequence)
        finally:
            # What is left comes again.
            self._stage.received -= held
            self._stage.held -= held

    async def _deliver(
        self,
        items: Sequence[_Item],
        attempt: Attempt,
        settle: Callable[[Sequence[_Item], int], None],
    ) -> None:
        """Export `items`; if the sink refuses them for good, find out which of them it refuses."""
        if not items:
            return
        try:
            await self._until_ready(items, attempt)
        except Permanent as error:
            if len(items) == 1:
                await self._bury(items[0].message, str(error))
                settle(items, 0)
                return
            middle = len(items) // 2
            await self._deliver(items[:middle], attempt, settle)
            await self._deliver(items[middle:], attempt, settle)
        else:
            settle(items, len(items))

    async def _until_ready(self, items: Sequence[_Item], attempt: Attempt) -> None:
        wait = self.settings.first_wait_seconds
        findings = [item.finding for item in items]
        async with self._gate:
            while True:
                try:
                    with attempt():
                        await self._exporter.export(findings)
                except NotNow:
                    raise
                except Retryable as error:
                    if wait == self.settings.first_wait_seconds:
                        _log.warning("exporter %s waits for its sink: %s", self.name, error)
                    self.retries += 1
                else:
                    return
                await asyncio.sleep(jittered(wait))
                wait = min(wait * 2, self.settings.last_wait_seconds)

    async def _bury(self, message: StoredMessage, error: str) -> None:
        letter = DeadLetter(
            stage=f"export:{self.name}",
            error=error,
            attempts=1,
            time_ns=time.time_ns(),
            partition=int(message.subject.split(".")[1]),
            subject=message.subject,
            sequence=message.sequence,
            data=message.data,
            key_id=message.headers.get(subjects.KEY, ""),
        )
        await write_letter(self._bus, letter)
        self._stage.drop("dead_letter")


def jittered(seconds: float) -> float:
    """Return about `seconds`, so that those who wait for the same do not come back together."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311  # spreads retries, hides nothing
