"""The order in which an aggregator starts and ends its workers; the workers are stand-ins."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from agentsight_aggregator.coordination.coordinator import Assignment
from agentsight_aggregator.worker import aggregator as module
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.conditions import eventually


class Script:
    """A coordinator that assigns what the test says."""

    def __init__(self) -> None:
        self._mine: frozenset[Assignment] = frozenset()
        self._changed = asyncio.Event()

    def assign(self, *mine: tuple[int, int]) -> None:
        self._mine = frozenset(Assignment(*pair) for pair in mine)
        self._changed.set()

    async def assignments(self) -> AsyncIterator[frozenset[Assignment]]:
        while True:
            yield self._mine
            await self._changed.wait()
            self._changed.clear()

    def owns(self, assignment: Assignment) -> bool:
        return assignment in self._mine


class Worker:
    """Notes what is asked of it; ends some time after `stop`, when the test says so."""

    # Of each test's own subclass.
    running: ClassVar[list[int]]
    may_end: ClassVar[asyncio.Event]

    def __init__(self, partition: int, *others: object) -> None:
        self.partition = partition
        self.fold = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        self.running.append(self.partition)
        await self._stopping.wait()
        await self.may_end.wait()
        self.running.remove(self.partition)

    def stop(self) -> None:
        self._stopping.set()

    async def tick(self) -> int:
        return 7

    async def reached(self, sequence: int) -> None:
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def working(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[module.Aggregator, Script, type[Worker]]]:
    stand_in = type("StandIn", (Worker,), {"running": [], "may_end": asyncio.Event()})
    monkeypatch.setattr(module, "PartitionWorker", stand_in)
    script = Script()
    aggregator = module.Aggregator(None, script, lambda _: None, Ledger())
    running = asyncio.create_task(aggregator.run())
    try:
        yield aggregator, script, stand_in
    finally:
        stand_in.may_end.set()
        aggregator.stop()
        await running


async def test_new_partitions_do_not_wait_for_those_that_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with working(monkeypatch) as (_, script, workers):
        script.assign((0, 1), (1, 1))
        await eventually(lambda: sorted(workers.running) == [0, 1])
        script.assign((2, 1))
        await eventually(lambda: sorted(workers.running) == [0, 1, 2])
        workers.may_end.set()
        await eventually(lambda: workers.running == [2])


async def test_a_partition_has_one_worker_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with working(monkeypatch) as (_, script, workers):
        script.assign((0, 1))
        await eventually(lambda: workers.running == [0])
        # It comes back twice before the first worker has ended; partition 1 shows that it is seen.
        script.assign((0, 2), (1, 2))
        await eventually(lambda: 1 in workers.running)
        script.assign((0, 3), (1, 2), (2, 3))
        await eventually(lambda: 2 in workers.running)
        assert sorted(workers.running) == [0, 1, 2]
        workers.may_end.set()
        await eventually(lambda: workers.running == [1, 2, 0])


async def test_settling_does_not_wait_for_what_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with working(monkeypatch) as (aggregator, script, workers):
        workers.may_end.set()
        script.assign((0, 1), (1, 1))
        await eventually(lambda: sorted(workers.running) == [0, 1])
        settling = asyncio.create_task(aggregator.settle())
        script.assign((0, 1))
        await eventually(lambda: workers.running == [0])
        assert not settling.done()
        script.assign()
        async with asyncio.timeout(5):
            await settling
