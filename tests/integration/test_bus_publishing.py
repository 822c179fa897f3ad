"""The way of frames from the spool to EVENTS, over a real server that is killed on the way."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections import Counter, defaultdict
from pathlib import Path
from time import monotonic

import pytest
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.pace import Pace
from agentsight_core.bus.provisioning import BusSettings, StreamSettings
from agentsight_core.bus.publisher import Publisher, PublisherSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.numbered_frames import EPOCH_NS, numbered_frame

pytestmark = pytest.mark.server

SETTINGS = PublisherSettings(window=8, ack_seconds=0.5, last_wait_seconds=0.3)


async def read_events(bus: Bus) -> list[tuple[int, int]]:
    """Return (session, seq) of every frame in EVENTS, in stream order."""
    state = (await bus.stream_state(subjects.EVENTS)).state
    stored = [await bus.get(subjects.EVENTS, n) for n in range(1, state.last_seq + 1)]
    headers = [wire.decode_header(message.data) for message in stored]
    return [(header.session, header.seq) for header in headers]


async def test_killed_server_loses_and_doubles_nothing(tmp_path: Path) -> None:
    ledger = Ledger()
    spooled, published = ledger.stage("spool", "frames"), ledger.stage("publish", "frames")
    sent = []
    async with running_bus(tmp_path / "bus", BusSettings(partitions=4)) as running:
        spool = Spool(tmp_path / "spool", SpoolSettings(), spooled)
        async with spool:
            publisher = Publisher(spool, running.bus, published, SETTINGS)
            publishing = asyncio.create_task(publisher.run())
            down = {*range(15, 20), 35, *range(50, 55)}
            for seq in range(1, 61):
                if seq in (15, 35, 50):
                    os.kill(running.server.pid, signal.SIGKILL)
                    await running.server.wait_ended()
                if seq in (20, 36, 55):
                    await running.server.start()
                for session in range(1, 11):
                    spool.put(*numbered_frame(session, seq, padding=100), rank=1)
                    sent.append((session, seq))
                # Only as far ahead of the bus as makes frames be in flight at the kill.
                if seq not in down:
                    await eventually(lambda: spool.held <= 40)
            assert await publisher.drain(30)
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing
        stored = await read_events(running.bus)

    assert Counter(stored) == Counter(sent)
    by_session = defaultdict(list)
    for session, seq in stored:
        by_session[session].append(seq)
    assert all(seqs == sorted(seqs) for seqs in by_session.values())
    assert publisher.retries > 0
    assert (spooled.emitted, spooled.held, spooled.unexplained) == (600, 0, 0)
    assert (published.emitted, published.unexplained) == (600, 0)


async def test_full_stream_makes_the_spool_wait(tmp_path: Path) -> None:
    ledger = Ledger()
    small = BusSettings(partitions=1, events=StreamSettings(20_000, 3600))
    stage = ledger.stage("s", "frames")
    async with (
        running_bus(tmp_path / "bus", small) as running,
        Spool(tmp_path / "spool", SpoolSettings(), stage) as spool,
    ):
        publisher = Publisher(spool, running.bus, ledger.stage("p", "frames"), SETTINGS)
        publishing = asyncio.create_task(publisher.run())
        for seq in range(1, 201):
            spool.put(*numbered_frame(7, seq), rank=1)
        await eventually(lambda: publisher.retries >= 3)
        waiting = spool.held
        assert 0 < waiting < 200
        await running.bus.js.purge_stream(subjects.EVENTS)
        await eventually(lambda: spool.held < waiting)
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing


async def test_frame_too_large_for_the_bus_leaves_a_tombstone(tmp_path: Path) -> None:
    stage = Ledger().stage("spool", "frames")
    settings = SpoolSettings(max_frame_bytes=20 << 20)
    async with running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running:
        async with Spool(tmp_path / "spool", settings, stage) as spool:
            publisher = Publisher(spool, running.bus, Ledger().stage("p", "frames"), SETTINGS)
            publishing = asyncio.create_task(publisher.run())
            header, _ = numbered_frame(1, 1, events=5)
            spool.put(header, os.urandom(9 << 20), rank=1)
            assert await publisher.drain(20)
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing
        stored = await running.bus.get(subjects.EVENTS, 1)
    found, events = wire.decode_frame(stored.data)
    assert (found.session, found.seq) == (1, 1)
    assert (events[0].lost.reason, events[0].lost.count) == ("too_large", 5)
    assert stage.dropped == {"too_large": 1}
    assert stage.unexplained == 0


async def test_a_spool_that_has_filled_drains_at_the_rate_that_is_set(tmp_path: Path) -> None:
    sent = [(session, seq) for seq in range(1, 11) for session in range(1, 5)]
    rate = 1_000_000
    async with (
        running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running,
        Spool(tmp_path / "spool", SpoolSettings(), Ledger().stage("spool", "frames")) as spool,
    ):
        size = 0
        for session, seq in sent:
            header, _ = numbered_frame(session, seq)
            frame = wire.encode_frame(header, wire.encode_events([noise(session)]))
            spool.put(header, frame, rank=1)
            size += len(frame)
        pace = Pace(lambda: rate)
        publisher = Publisher(spool, running.bus, Ledger().stage("p", "frames"), SETTINGS, pace)
        began = monotonic()
        publishing = asyncio.create_task(publisher.run())
        assert await publisher.drain(30)
        assert monotonic() - began > (size - rate) / rate - 0.1
        publishing.cancel()
        await asyncio.wait([publishing])
        stored = await read_events(running.bus)
    assert size > 2 * rate
    assert Counter(stored) == Counter(sent)


def noise(session: int) -> pb.Event:
    """An event that compression does not make smaller."""
    path = secrets.token_urlsafe(60_000)
    return pb.Event(session=session, wall_ns=EPOCH_NS, file_opened=pb.FileOpened(path=path))
