"""Partitions worked on over a real server: exactly once through crashes, fenced, never stuck."""

import asyncio
import contextlib
import os
import random
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.worker.aggregator import Aggregator, AggregatorSettings
from agentsight_aggregator.worker.answers import Answer, Answers, Fenced
from agentsight_aggregator.worker.checkpoints import CheckpointStore
from agentsight_aggregator.worker.partition import PartitionWorker, WorkerSettings
from agentsight_aggregator.worker.reader import PartitionReader, ReaderSettings
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing, connect
from agentsight_core.bus.letters import read_letter
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.counting_fold import POISON_PATH, CountingFold
from agentsight_core.testing.numbered_frames import AGENT, EPOCH_NS, numbered_frame

pytestmark = pytest.mark.server

QUICK = WorkerSettings(
    ReaderSettings(batch=16, wait_seconds=0.2, stall_seconds=0.5), checkpoint_seconds=0.05
)
SETTINGS = AggregatorSettings(QUICK, first_wait_seconds=0.01, last_wait_seconds=0.1)


async def publish(bus: Bus, header: pb.FrameHeader, frame: bytes, **headers: str) -> int:
    return await bus.publish(Outgoing(subjects.event_subject(header), frame, headers))


async def findings_of(bus: Bus, partitions: int) -> dict[int, list[tuple[str, bytes]]]:
    """Return (subject, content) of all findings of each partition, in order."""
    found = {}
    for partition in range(partitions):
        found[partition] = []
        sequence, pattern = 1, subjects.findings_filter(partition)
        while message := await bus.next(subjects.FINDINGS, sequence, pattern):
            found[partition].append((message.subject, message.data))
            sequence = message.sequence + 1
    return found


@contextlib.asynccontextmanager
async def working(
    bus: Bus,
    partitions: int,
    ledger: Ledger,
    make_fold=lambda _: CountingFold(),
    settings: AggregatorSettings = SETTINGS,
):
    coordinator = LocalCoordinator(partitions)
    aggregator = Aggregator(bus, coordinator, make_fold, ledger, settings)
    async with coordinator:
        running = asyncio.create_task(aggregator.run())
        try:
            await eventually(lambda: running.done() or len(aggregator.folds()) == partitions)
            yield aggregator
        finally:
            aggregator.stop()
            await running


async def work_undisturbed(folder: Path, frames: list[tuple[pb.FrameHeader, bytes]]):
    async with running_bus(folder, BusSettings(partitions=2)) as running:
        for header, frame in frames:
            await publish(running.bus, header, frame)
        async with working(running.bus, 2, Ledger()) as aggregator:
            await aggregator.settle()
        return await findings_of(running.bus, 2)


async def test_crashes_leave_no_trace_in_the_findings(tmp_path: Path) -> None:
    frames = [numbered_frame(s, seq, events=2) for seq in range(1, 61) for s in range(1, 6)]
    expected = await work_undisturbed(tmp_path / "calm", frames)
    assert sum(len(found) for found in expected.values()) == 600

    chance = random.Random(20261122)
    async with running_bus(tmp_path / "storm", BusSettings(partitions=2)) as running:

        async def crash_forever(partition: int) -> None:
            while True:
                worker = PartitionWorker(
                    partition, lambda _: CountingFold(), running.bus, Ledger(), QUICK
                )
                # Fenced: by what its predecessor had sent when it died.
                with contextlib.suppress(TimeoutError, Fenced):
                    async with asyncio.timeout(chance.uniform(0.005, 0.15)):
                        await worker.run()

        crashing = [asyncio.create_task(crash_forever(partition)) for partition in range(2)]
        for header, frame in frames:
            await publish(running.bus, header, frame)
        await asyncio.sleep(0)
        for task in crashing:
            task.cancel()
        assert {type(e) for e in await asyncio.gather(*crashing, return_exceptions=True)} == {
            asyncio.CancelledError
        }
        async with working(running.bus, 2, Ledger()) as aggregator:
            await aggregator.settle()
        assert await findings_of(running.bus, 2) == expected


async def test_server_killed_under_the_worker(tmp_path: Path) -> None:
    frames = [numbered_frame(s, seq) for seq in range(1, 101) for s in range(1, 6)]
    expected = await work_undisturbed(tmp_path / "calm", frames)
    async with running_bus(tmp_path / "storm", BusSettings(partitions=2)) as running:
        for header, frame in frames:
            await publish(running.bus, header, frame)
        async with working(running.bus, 2, ledger := Ledger()) as aggregator:
            await eventually(lambda: ledger.stage("worker", "frames").emitted > 50)
            os.kill(running.server.pid, signal.SIGKILL)
            await running.server.wait_ended()
            await running.server.start()
            await eventually(lambda: ledger.stage("worker", "frames").emitted == 500)
            await eventually(lambda: len(aggregator.folds()) == 2)
            await aggregator.settle()
        assert await findings_of(running.bus, 2) == expected
    assert ledger.stage("worker", "frames").unexplained == 0


async def test_duplicates_are_dropped_and_gaps_told(tmp_path: Path) -> None:
    ledger = Ledger()
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        for seq in (1, 2, 2, 1, 5, 6):
            await publish(running.bus, *numbered_frame(9, seq))
        async with working(running.bus, 1, ledger) as aggregator:
            await aggregator.settle()
        found = await findings_of(running.bus, 1)
    parsed = [Finding.FromString(data) for _, data in found[0]]
    assert [f.WhichOneof("body") for f in parsed] == ["edge", "edge", "loss", "edge", "edge"]
    assert (parsed[2].loss.reason, parsed[2].loss.count, parsed[2].session) == ("gap", 2, 9)
    stage = ledger.stage("worker", "frames")
    assert (stage.filtered, stage.dropped) == ({"duplicate": 2}, {"gap": 2})
    assert (stage.emitted, stage.unexplained) == (4, 0)


async def test_poison_goes_to_the_dead_letters_and_the_partition_goes_on(tmp_path: Path) -> None:
    poison = pb.Event(session=9, file_opened=pb.FileOpened(path=POISON_PATH))
    header = pb.FrameHeader(agent_id=AGENT, epoch_ns=EPOCH_NS, session=9, seq=2, event_count=1)
    header.cluster, header.node = "test", "node.example"
    poisoned = wire.encode_frame(header, wire.encode_events([poison]))
    broken = pb.Frame(header=header, codec=pb.CODEC_ZSTD, body=b"junk")
    broken.header.seq = 3
    ledger = Ledger()
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        bus = running.bus
        await publish(bus, *numbered_frame(9, 1))
        await publish(bus, header, poisoned)
        await publish(bus, header, broken.SerializeToString())
        await publish(bus, header, b"not even protobuf")
        await publish(bus, *numbered_frame(9, 4))
        async with working(bus, 1, ledger) as aggregator:
            await aggregator.settle()
        letters = [read_letter(await bus.get(subjects.DLQ, n)) for n in (1, 2, 3)]
        found = await findings_of(bus, 1)
    assert [(letter.stage, letter.sequence) for letter in letters] == [
        ("fold", 2),
        ("decode", 3),
        ("decode", 4),
    ]
    assert letters[0].data == poisoned
    assert "poisoned on purpose" in letters[0].error
    parsed = [Finding.FromString(data) for _, data in found[0]]
    bodies = [f.loss.reason or f.WhichOneof("body") for f in parsed]
    # No gap is told for 2 and 3: the dead letters account for them.
    assert bodies == ["edge", "dead_letter", "dead_letter", "dead_letter", "edge"]
    stage = ledger.stage("worker", "frames")
    assert (stage.dropped, stage.emitted, stage.unexplained) == ({"dead_letter": 3}, 2, 0)


async def test_restart_goes_on_behind_the_checkpoint(tmp_path: Path) -> None:
    first, second = Ledger(), Ledger()
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        for seq in range(1, 11):
            await publish(running.bus, *numbered_frame(9, seq))
        async with working(running.bus, 1, first) as aggregator:
            await aggregator.settle()
        await publish(running.bus, *numbered_frame(9, 11))
        async with working(running.bus, 1, second) as aggregator:
            await aggregator.settle()
        found = await findings_of(running.bus, 1)
        # Nothing is left behind.
        assert (await running.bus.stream_state(subjects.EVENTS)).state.consumer_count == 0
    assert first.stage("worker", "frames").received == 10
    # Neither folded nor fetched again.
    stage = second.stage("worker", "frames")
    assert (stage.received, stage.emitted, stage.filtered) == (1, 1, {})
    assert len(found[0]) == 11


async def test_stale_owner_is_refused(tmp_path: Path) -> None:
    def answer(number: int) -> Answer:
        return Answer((number, 1), Finding(session=1, edge=Edge(method=str(number))))

    async with running_bus(tmp_path, BusSettings(partitions=2)) as running:
        old, new = (Answers(running.bus, 1, writer) for writer in ("old", "new"))
        await old.append([answer(1)])
        await new.read_last()
        assert new.place == (1, 1)
        # What is answered is not written again; what is not, is.
        assert await new.append([answer(1), answer(2), answer(3)]) == 2
        with pytest.raises(Fenced):
            await old.append([answer(2), answer(3)])
        # The very same findings by somebody else are no success either.
        found = await findings_of(running.bus, 2)
    assert [Finding.FromString(data).edge.method for _, data in found[1]] == ["1", "2", "3"]


async def test_two_readers_of_a_partition_do_not_disturb_each_other(tmp_path: Path) -> None:
    """A former owner that does not know it yet takes nothing from its successor."""
    settings = ReaderSettings(batch=3, wait_seconds=0.5)
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        for seq in range(1, 41):
            await publish(running.bus, *numbered_frame(1, seq))
        successor, former = (PartitionReader(running.bus, 0, settings) for _ in range(2))
        await successor.start(0)
        await former.start(20)
        seen = []
        while len(seen) < 40:
            seen += [delivery.sequence for delivery in await successor.fetch()]
            if len(seen) == 9:
                # In the middle it starts over behind a place that the successor has not reached.
                await former.start(30)
            await former.fetch()
        await successor.stop()
        await former.stop()
    assert seen == list(range(1, 41))


@contextlib.asynccontextmanager
async def stealing(running, aggregator: Aggregator, count: int):
    """Let somebody else ask the worker's consumer for messages, before the worker does again."""
    (worker,) = aggregator._workers.values()
    async with connect(running.connection("thief")) as thief:
        consumer = worker._reader._consumer
        subscription = await thief.js.pull_subscribe_bind(consumer, stream=subjects.EVENTS)
        theft = asyncio.create_task(subscription.fetch(count, timeout=10))
        await asyncio.sleep(0)
        await thief.client.flush()
        yield theft


async def test_thief_of_messages_does_not_change_the_findings(tmp_path: Path) -> None:
    ledger = Ledger()
    async with (
        running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running,
        working(running.bus, 1, ledger) as aggregator,
        stealing(running, aggregator, 7) as theft,
    ):
        for seq in range(1, 41):
            await publish(running.bus, *numbered_frame(1, seq))
        await aggregator.settle()
        (worker,) = aggregator._workers.values()
        assert len(await theft) >= 1
        assert worker._reader.restarts >= 1
        found = await findings_of(running.bus, 1)
    edges = [Finding.FromString(data).edge.method.split(":")[0] for _, data in found[0]]
    assert edges == [str(n) for n in range(1, 41)]
    assert ledger.stage("worker", "frames").emitted == 40


async def test_message_that_never_arrives_is_asked_for_again(tmp_path: Path) -> None:
    # No tick comes to show the gap: only the watchdog can notice.
    quiet = AggregatorSettings(replace(QUICK, tick_seconds=1000.0))
    ledger = Ledger()
    async with (
        running_bus(tmp_path, BusSettings(partitions=1)) as running,
        working(running.bus, 1, ledger, settings=quiet) as aggregator,
        stealing(running, aggregator, 50) as theft,
    ):
        await publish(running.bus, *numbered_frame(1, 1))
        await eventually(lambda: ledger.stage("worker", "frames").emitted == 1, seconds=12)
        theft.cancel()


async def test_consumer_that_has_messages_and_delivers_none_is_replaced(tmp_path: Path) -> None:
    settings = ReaderSettings(batch=16, wait_seconds=0.2, stall_seconds=0.5)
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        reader = PartitionReader(running.bus, 0, settings)
        await reader.start(0)
        stuck, later = reader._consumer, datetime.now(UTC) + timedelta(hours=1)
        await running.bus.js.pause_consumer(subjects.EVENTS, stuck, pause_until=later.isoformat())
        sequence = await publish(running.bus, *numbered_frame(1, 1))
        info = await running.bus.consumer_info(subjects.EVENTS, stuck)
        assert (info.num_pending, info.delivered.consumer_seq) == (1, 0)
        delivered = []
        async with asyncio.timeout(15):
            while not delivered:
                delivered = await reader.fetch()
        assert [one.sequence for one in delivered] == [sequence]
        assert reader.restarts >= 1
        assert reader._consumer != stuck
        await reader.stop()


async def test_what_expired_before_it_was_folded_is_told_once(tmp_path: Path) -> None:
    make_fold = lambda _: build_fold()  # noqa: E731
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await publish(running.bus, *numbered_frame(1, 1))
        async with working(running.bus, 1, Ledger(), make_fold) as aggregator:
            await aggregator.settle()
        folded = await CheckpointStore(running.bus, 0).position()
        # Nobody works; a session comes and goes, and its time on the bus ends.
        for seq in (1, 2):
            await publish(running.bus, *numbered_frame(2, seq))
        kept = await publish(running.bus, *numbered_frame(3, 1))
        await running.bus.js.purge_stream(subjects.EVENTS, seq=kept)
        for _ in range(2):
            async with working(running.bus, 1, Ledger(), make_fold) as aggregator:
                await aggregator.settle()
        found = await findings_of(running.bus, 1)
    findings = [Finding.FromString(data) for _, data in found[0]]
    losses = [one.loss for one in findings if one.HasField("loss")]
    assert [(one.stage, one.reason, one.count, one.unit) for one in losses] == [
        ("bus", "expired", 1, "stretches")
    ]
    assert kept - folded > 2


async def test_step_larger_than_a_batch(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        for seq in (1, 2):
            await publish(running.bus, *numbered_frame(1, seq, events=3))
        many = lambda _: CountingFold(copies=400)  # noqa: E731
        async with working(running.bus, 1, Ledger(), many) as aggregator:
            await aggregator.settle()
        found = await findings_of(running.bus, 1)
    assert len(found[0]) == 2400
    assert len({data for _, data in found[0]}) == 2400


async def test_a_fold_that_began_is_saved_before_anything_is_folded(tmp_path: Path) -> None:
    """A successor has to begin with the same settings, also when there is no other checkpoint."""
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        async with working(running.bus, 1, Ledger()):
            pass
        store = CheckpointStore(running.bus, 0)
        assert await store.load() is not None
        assert await store.position() == 0


async def test_new_settings_stand_in_the_log_at_once(tmp_path: Path) -> None:
    wanted = pb.Tick(settings=pb.FoldSettings(content_on_spans=True, session_idle_ns=7))
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        slow = replace(SETTINGS, worker=replace(QUICK, tick_seconds=3600.0))
        async with working(running.bus, 1, Ledger(), settings=slow) as aggregator:
            aggregator.apply(replace(slow, worker=replace(slow.worker, tick=wanted)))
            async with asyncio.timeout(30):
                while not (told := await running.bus.last(subjects.EVENTS, "tick.0")):  # noqa: ASYNC110  # the bus tells by being asked
                    await asyncio.sleep(0.01)
    _, events = wire.decode_frame(told.data)
    assert [event.tick for event in events] == [wanted]
