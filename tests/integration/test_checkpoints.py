"""Checkpoints on a real bus: whole or not at all, never by a former owner; and trimming by them."""

import os
from pathlib import Path

import pytest
from agentsight_aggregator.worker.checkpoints import CheckpointStore
from agentsight_aggregator.worker.trimming import trim_events
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Outgoing
from agentsight_core.bus.failures import SequenceConflict
from agentsight_core.bus.provisioning import BusSettings, StreamSettings
from agentsight_core.testing.buses import RunningBus, running_bus

pytestmark = pytest.mark.server


@pytest.fixture
async def running(tmp_path: Path):
    events = StreamSettings(200_000, 3600)
    async with running_bus(tmp_path, BusSettings(partitions=2, events=events)) as bus:
        yield bus


@pytest.mark.parametrize("size", [0, 1000, 3 << 20], ids=["empty", "small", "pieces"])
async def test_round_trip(running: RunningBus, size: int) -> None:
    state = os.urandom(size)
    store = CheckpointStore(running.bus, 1)
    assert await store.load() is None
    await store.save(state, 17)
    await store.save(state[::-1], 18)
    again = CheckpointStore(running.bus, 1)
    assert await again.load() == state[::-1]
    assert await again.position() == 18
    assert await CheckpointStore(running.bus, 0).load() is None


async def test_shrinking_state_leaves_no_old_pieces(running: RunningBus) -> None:
    store = CheckpointStore(running.bus, 1)
    await store.save(os.urandom(4 << 20), 1)
    await store.save(b"small", 2)
    assert await CheckpointStore(running.bus, 1).load() == b"small"
    state = (await running.bus.stream_state("KV_checkpoints")).state
    assert state.bytes < 10_000


async def test_former_owner_is_refused(running: RunningBus) -> None:
    old, new = CheckpointStore(running.bus, 1), CheckpointStore(running.bus, 1)
    await old.save(b"old", 1)
    await new.load()
    await new.save(b"new" * 1_000_000, 2)
    with pytest.raises(SequenceConflict):
        await old.save(b"stale" * 1_000_000, 3)
    assert await CheckpointStore(running.bus, 1).load() == b"new" * 1_000_000


async def test_damaged_checkpoint_is_not_used(running: RunningBus, caplog) -> None:
    store = CheckpointStore(running.bus, 1)
    await store.save(os.urandom(2 << 20), 1)
    await running.bus.publish(Outgoing("$KV.checkpoints.p01.0001", b"damage"))
    again = CheckpointStore(running.bus, 1)
    assert await again.load() is None
    assert "damaged" in caplog.text
    # The next one replaces it.
    await again.save(b"fresh", 2)
    assert await CheckpointStore(running.bus, 1).load() == b"fresh"


async def test_trimming_removes_only_what_every_partition_has_saved(running: RunningBus) -> None:
    for number in range(90):
        await running.bus.publish(Outgoing(f"ev.c.n.{number:016x}", bytes(2000)))
    assert await trim_events(running.bus) == 0
    await CheckpointStore(running.bus, 0).save(b"", 90)
    assert await trim_events(running.bus) == 0
    await CheckpointStore(running.bus, 1).save(b"", 20)
    assert await trim_events(running.bus) == 20
    state = (await running.bus.stream_state(subjects.EVENTS)).state
    assert (state.first_seq, state.last_seq) == (21, 90)
