"""Partitions that come and go while the aggregator works on others."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_aggregator.coordination.coordinator import Assignment
from agentsight_aggregator.worker.aggregator import Aggregator, AggregatorSettings
from agentsight_aggregator.worker.partition import WorkerSettings
from agentsight_aggregator.worker.reader import ReaderSettings
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.counting_fold import CountingFold
from agentsight_core.testing.numbered_frames import numbered_frame

pytestmark = pytest.mark.server

# A fetch that finds nothing takes this long, and so does giving a quiet partition up.
FETCH_SECONDS = 1.0
QUICK = AggregatorSettings(WorkerSettings(ReaderSettings(wait_seconds=FETCH_SECONDS)))


class Script:
    """A coordinator that assigns what the test says."""

    def __init__(self) -> None:
        self._mine: frozenset[Assignment] = frozenset()
        self._changed = asyncio.Event()

    def assign(self, *mine: Assignment) -> None:
        self._mine = frozenset(mine)
        self._changed.set()

    async def assignments(self) -> AsyncIterator[frozenset[Assignment]]:
        while True:
            yield self._mine
            await self._changed.wait()
            self._changed.clear()

    def owns(self, assignment: Assignment) -> bool:
        return assignment in self._mine


@contextlib.asynccontextmanager
async def working(bus: Bus, script: Script) -> AsyncIterator[Aggregator]:
    aggregator = Aggregator(bus, script, lambda _: CountingFold(), Ledger(), QUICK)
    running = asyncio.create_task(aggregator.run())
    try:
        yield aggregator
    finally:
        aggregator.stop()
        await running


async def publish(bus: Bus, sessions: range, seq: int) -> None:
    for session in sessions:
        header, frame = numbered_frame(session, seq)
        await bus.publish(Outgoing(subjects.event_subject(header), frame))


async def written(bus: Bus) -> int:
    return (await bus.stream_state(subjects.FINDINGS)).state.messages


async def test_a_new_partition_does_not_wait_for_one_that_ends(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=4)) as running:
        script = Script()
        async with working(running.bus, script) as aggregator:
            script.assign(*(Assignment(number, 1) for number in range(3)))
            await eventually(lambda: len(aggregator.folds()) == 3)
            loop = asyncio.get_running_loop()
            started = loop.time()
            script.assign(Assignment(3, 1))
            await eventually(lambda: list(aggregator.folds()) == [3])
            assert loop.time() - started < FETCH_SECONDS / 2


async def test_a_partition_that_comes_back_goes_on_where_it_was(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        script = Script()
        async with working(running.bus, script) as aggregator:
            for fence in range(1, 6):
                script.assign(Assignment(0, fence))
                await publish(running.bus, range(1, 4), seq=fence)
                if fence % 2:
                    script.assign()
            script.assign(Assignment(0, 9))
            await eventually(lambda: list(aggregator.folds()) == [0])
            await aggregator.settle()
            assert await written(running.bus) == 15
            assert aggregator.fenced_writes == 0


async def test_settling_leaves_what_is_given_up(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=2)) as running:
        script = Script()
        async with working(running.bus, script) as aggregator:
            script.assign(Assignment(0, 1), Assignment(1, 1))
            await eventually(lambda: len(aggregator.folds()) == 2)
            settling = asyncio.create_task(aggregator.settle())
            await asyncio.sleep(0)
            script.assign(Assignment(0, 1))
            async with asyncio.timeout(5 * FETCH_SECONDS):
                await settling
