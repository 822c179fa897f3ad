"""Checkpoints on a real bus: whole or not at all, never by a former owner; and trimming by them."""

import os
import time
from pathlib import Path

import pytest
from agentsight_aggregator.worker.checkpoints import CheckpointStore
from agentsight_aggregator.worker.retention import keeping_unfolded
from agentsight_aggregator.worker.trimming import trim_events
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Outgoing
from agentsight_core.bus.failures import SequenceConflict
from agentsight_core.bus.provisioning import BusSettings, StreamSettings, provision
from agentsight_core.errors import Retryable
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.conditions import eventually

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


async def test_a_shorter_age_waits_for_what_is_not_folded(running: RunningBus) -> None:
    shorter = BusSettings(partitions=2, events=StreamSettings(200_000, 0.5))
    # Nothing waits.
    assert await keeping_unfolded(running.bus, shorter) == shorter
    await running.bus.publish(Outgoing("ev.c.n.0000000000000001", b"a frame"))
    written_s = await running.bus.written_s(subjects.EVENTS, 1)
    assert written_s is not None
    await eventually(lambda: time.time() - written_s > 0.6)
    kept = await keeping_unfolded(running.bus, shorter)
    assert kept.events == StreamSettings(200_000, 3600.0)
    for partition in range(2):
        await CheckpointStore(running.bus, partition).save(b"", 1)
    assert await keeping_unfolded(running.bus, shorter) == shorter
    # A longer one never costs anything.
    longer = BusSettings(partitions=2, events=StreamSettings(200_000, 7200.0))
    assert await keeping_unfolded(running.bus, longer) == longer


async def test_less_room_removes_nothing(running: RunningBus) -> None:
    """Agents wait until there is room again: what is folded is trimmed."""
    for number in range(60):
        await running.bus.publish(Outgoing(f"ev.c.n.{number:016x}", bytes(2000)))
    await provision(running.bus, BusSettings(2, events=StreamSettings(50_000, 3600.0)))
    state = (await running.bus.stream_state(subjects.EVENTS)).state
    assert (state.first_seq, state.last_seq) == (1, 60)
    with pytest.raises(Retryable, match="maximum bytes"):
        await running.bus.publish(Outgoing("ev.c.n.0000000000000001", b"more"))
    for partition in range(2):
        await CheckpointStore(running.bus, partition).save(b"", 60)
    while await trim_events(running.bus):
        pass
    assert await running.bus.publish(Outgoing("ev.c.n.0000000000000001", b"more")) == 61
