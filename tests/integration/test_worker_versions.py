"""A partition whose checkpoints are of a version that its worker does not know, back and forth."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.worker.aggregator import Aggregator, AggregatorSettings
from agentsight_aggregator.worker.partition import WorkerSettings
from agentsight_aggregator.worker.reader import ReaderSettings
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.errors import Permanent
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.counting_fold import CountingFold
from agentsight_core.testing.numbered_frames import numbered_frame

pytestmark = pytest.mark.server

QUICK = AggregatorSettings(
    WorkerSettings(ReaderSettings(wait_seconds=0.2), checkpoint_seconds=0.05)
)


class Old(CountingFold):
    """Writes its version in front of the state and reads no other, as the real fold does."""

    version = b"\x01"

    def snapshot(self) -> bytes:
        return self.version + super().snapshot()

    def restore(self, state: bytes) -> None:
        if state[:1] != self.version:
            raise Permanent(f"a snapshot of version {state[:1].hex()}")
        super().restore(state[1:])


class New(Old):
    version = b"\x02"


@contextlib.asynccontextmanager
async def working(bus: Bus, make: Callable[[], CountingFold]) -> AsyncIterator[Aggregator]:
    coordinator = LocalCoordinator(1)
    aggregator = Aggregator(bus, coordinator, lambda _: make(), Ledger(), QUICK)
    async with coordinator:
        running = asyncio.create_task(aggregator.run())
        try:
            await eventually(lambda: running.done() or len(aggregator.folds()) == 1)
            yield aggregator
        finally:
            aggregator.stop()
            await running


async def methods(bus: Bus) -> Counter[str]:
    """Return what the findings say; each says it once."""
    found: Counter[str] = Counter()
    sequence = 1
    while message := await bus.next(subjects.FINDINGS, sequence, subjects.findings_filter(0)):
        found[f"{message.subject} {Finding.FromString(message.data).edge.method}"] += 1
        sequence = message.sequence + 1
    return found


async def run(folder: Path, versions: list[Callable[[], CountingFold]]) -> Counter[str]:
    """Let one version after the other work on ten more frames of three sessions each."""
    async with running_bus(folder, BusSettings(partitions=1)) as running:
        for number, version in enumerate(versions):
            async with working(running.bus, version) as aggregator:
                for seq in range(10 * number + 1, 10 * number + 11):
                    for session in (1, 2, 3):
                        header, frame = numbered_frame(session, seq)
                        outgoing = Outgoing(subjects.event_subject(header), frame)
                        await running.bus.publish(outgoing)
                await aggregator.settle()
        return await methods(running.bus)


async def test_a_checkpoint_of_another_version_is_refused_and_nothing_is_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        found = await run(tmp_path / "mixed", [Old, New, Old, Old, New])
    refused = [r for r in caplog.records if "of another version" in r.getMessage()]
    assert len(refused) == 3
    assert found == await run(tmp_path / "calm", [Old] * 5)
    assert set(found.values()) == {1}
    assert found.total() == 150
