"""All partitions that this process owns, in one event loop over one connection.

Must not know what coordinates or what folds.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agentsight_core.bus.connection import Bus
from agentsight_core.errors import Retryable
from agentsight_core.ports import Analyzer
from agentsight_core.telemetry.ledger import Ledger

from agentsight_aggregator.coordination.coordinator import Assignment, Coordinator
from agentsight_aggregator.worker.answers import Fenced
from agentsight_aggregator.worker.partition import Lag, PartitionWorker, WorkerSettings
from agentsight_aggregator.worker.trimming import trim_events

_log = logging.getLogger(__name__)

_SETTLE_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class AggregatorSettings:
    """How an aggregator works."""

    worker: WorkerSettings = field(default_factory=WorkerSettings)
    # Jittered waits between attempts to take a partition grow from the first to the last.
    first_wait_seconds: float = 0.1
    last_wait_seconds: float = 2.0
    # How often the owner of partition 0 looks whether EVENTS has to be trimmed.
    trim_seconds: float = 30.0


class Aggregator:
    """Works on whatever partitions the coordinator assigns, until stopped or cancelled."""

    def __init__(
        self,
        bus: Bus,
        coordinator: Coordinator,
        make_fold: Callable[[int], Analyzer],
        ledger: Ledger,
        settings: AggregatorSettings | None = None,
        wrote: Callable[[int, int, int], None] = lambda *_: None,
    ) -> None:
        self._bus = bus
        self._coordinator = coordinator
        self._make_fold = make_fold
        self._ledger = ledger
        self._settings = settings or AggregatorSettings()
        self._wrote = wrote
        self._workers: dict[Assignment, PartitionWorker] = {}
        self._tasks: dict[Assignment, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        # How often a write was refused because another owner had written.
        self.fenced_writes = 0

    def folds(self) -> Mapping[int, Analyzer]:
        """Return the folds of the owned partitions by number: the state that metrics show."""
        return {
            assignment.partition: worker.fold
            for assignment, worker in self._workers.items()
            if worker.fold is not None and self._coordinator.owns(assignment)
        }

    def positions(self) -> Mapping[Assignment, int]:
        """Return for each owned partition up to which sequence of EVENTS it is answered."""
        return {
            assignment: worker.position
            for assignment, worker in self._workers.items()
            if self._coordinator.owns(assignment)
        }

    def lags(self) -> Mapping[int, Lag]:
        """Return for each owned partition how far it is behind, also while it is not taken yet."""
        return {
            assignment.partition: worker.lag
            for assignment, worker in self._workers.items()
            if self._coordinator.owns(assignment)
        }

    async def run(self) -> None:
        """Work until `stop`; an unexpected error of any worker ends all of them."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow(group), name="assignments")
            trimming = group.create_task(self._trim_forever(), name="trimming")
            await self._stopping.wait()
            following.cancel()
            trimming.cancel()
            for worker in self._workers.values():
                worker.stop()

    def apply(self, settings: AggregatorSettings) -> None:
        """Work by other settings from now on, on the partitions that are owned too."""
        self._settings = settings
        for worker in self._workers.values():
            worker.apply(settings.worker)

    def stop(self) -> None:
        """Let `run` save the checkpoints and return."""
        self._stopping.set()

    async def settle(self) -> None:
        """Return when everything that was in EVENTS at the call is answered in FINDINGS.

        Partitions that are given up meanwhile are left to their new owners.
        """
        async with asyncio.TaskGroup() as group:
            for assignment, working in self._tasks.items():
                group.create_task(_settle(self._workers[assignment], working))

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        # Partition to the worker that saves its place there, after another member got it.
        ending: dict[int, asyncio.Task[None]] = {}
        async for mine in self._coordinator.assignments():
            for gone in self._workers.keys() - mine:
                self._workers.pop(gone).stop()
                ending[gone.partition] = self._tasks.pop(gone)
            for new in mine - self._workers.keys():
                worker = PartitionWorker(
                    new.partition,
                    self._make_fold,
                    self._bus,
                    self._ledger,
                    self._settings.worker,
                    self._wrote,
                )
                self._workers[new] = worker
                self._tasks[new] = group.create_task(
                    self._work(new, worker, ending.pop(new.partition, None)),
                    name=f"partition-{new.partition}",
                )

    async def _work(
        self, assignment: Assignment, worker: PartitionWorker, former: asyncio.Task[None] | None
    ) -> None:
        if former is not None:
            await asyncio.wait([former])
        wait = self._settings.first_wait_seconds
        while self._coordinator.owns(assignment) and not self._stopping.is_set():
            began = time.monotonic()
            try:
                await worker.run()
            except Fenced as error:
                self.fenced_writes += 1
                _log.warning("%s", error)
            except Retryable as error:
                _log.warning("partition %d: %s", assignment.partition, error)
            else:
                return
            if time.monotonic() - began > self._settings.last_wait_seconds:
                # It worked for a while: this is a new failure.
                wait = self._settings.first_wait_seconds
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))  # noqa: S311  # spreads retries, hides nothing
            wait = min(wait * 2, self._settings.last_wait_seconds)

    async def _trim_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.trim_seconds)
            if not any(assignment.partition == 0 for assignment in self._workers):
                continue
            try:
                await trim_events(self._bus)
            except Retryable as error:
                _log.info("EVENTS is not trimmed: %s", error)


async def _settle(worker: PartitionWorker, working: asyncio.Task[None]) -> None:
    """Return when `worker` has answered what is in its log now, or has ended."""
    answering = asyncio.ensure_future(_answer(worker))
    try:
        await asyncio.wait([answering, working], return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            answering.result()
    finally:
        answering.cancel()


async def _answer(worker: PartitionWorker) -> None:
    while True:
        try:
            sequence = await worker.tick()
        except Retryable as error:
            _log.info("partition %d: %s", worker.partition, error)
            await asyncio.sleep(_SETTLE_RETRY_SECONDS)
        else:
            await worker.reached(sequence)
            return
