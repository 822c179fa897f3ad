"""A partition that goes and comes back under the hands of one aggregator."""

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

QUICK = AggregatorSettings(WorkerSettings(ReaderSettings(wait_seconds=0.2)))


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
