"""Frames a second through the spool, onto the bus and through a worker.

Every figure is given beside what the same machine does without our part: a ratio outlives machines.
Run: python bench/bench_bus.py [--frames 2000] [--bytes 16384]
"""

import argparse
import asyncio
import contextlib
import os
import resource
import tempfile
import time
from pathlib import Path

from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.worker.aggregator import Aggregator, AggregatorSettings
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.bus.publisher import Publisher, PublisherSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.counting_fold import CountingFold
from agentsight_core.testing.numbered_frames import numbered_frame

WINDOW = 32
# The best of so many counts: others use the disk too.
ROUNDS = 3


def frames_of(sessions: int, count: int, size: int) -> list[tuple[pb.FrameHeader, bytes]]:
    """Return `count` frames spread over `sessions`, `size` bytes of random content in each."""
    made = []
    for number in range(count):
        header, frame = numbered_frame(number % sessions + 1, number // sessions + 1)
        # An unknown field (15): the frame stays readable and does not compress.
        length = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
        made.append((header, frame + b"\x7a" + length + os.urandom(size)))
    return made


async def bare(bus: Bus, frames: list[tuple[pb.FrameHeader, bytes]], window: int) -> float:
    """Seconds to publish `frames` with a window and nothing else: no spool, no order."""
    places = asyncio.Semaphore(window)

    async def one(header: pb.FrameHeader, frame: bytes) -> None:
        async with places:
            await bus.publish(Outgoing(subjects.event_subject(header), frame))

    began = time.perf_counter()
    await asyncio.gather(*(one(*each) for each in frames))
    return time.perf_counter() - began


async def spooled(bus: Bus, frames: list[tuple[pb.FrameHeader, bytes]], folder: Path) -> float:
    """Seconds from the first put to the last acknowledgement."""
    ledger = Ledger()
    settings = SpoolSettings(max_unwritten_bytes=1 << 30)
    async with Spool(folder, settings, ledger.stage("spool", "frames")) as spool:
        publisher = Publisher(
            spool, bus, ledger.stage("publish", "frames"), PublisherSettings(window=WINDOW)
        )
        publishing = asyncio.create_task(publisher.run())
        began = time.perf_counter()
        for header, frame in frames:
            spool.put(header, frame, rank=1)
        assert await publisher.drain(300)
        seconds = time.perf_counter() - began
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing
    assert spool.held == 0
    return seconds


async def synced(frames: list[tuple[pb.FrameHeader, bytes]], folder: Path) -> tuple[float, float]:
    """Seconds of `put` alone, and until the disk has everything."""
    settings = SpoolSettings(max_unwritten_bytes=1 << 30)
    async with Spool(folder, settings, Ledger().stage("spool", "frames")) as spool:
        began = time.perf_counter()
        for header, frame in frames:
            spool.put(header, frame, rank=1)
        put = time.perf_counter() - began
        await spool.drain()
        return put, time.perf_counter() - began


async def worked(bus: Bus, partitions: int) -> tuple[float, int]:
    """Seconds to fold and answer what is in EVENTS, and how many findings that made."""
    ledger = Ledger()
    async with LocalCoordinator(partitions) as coordinator:
        aggregator = Aggregator(
            bus, coordinator, lambda _: CountingFold(), ledger, AggregatorSettings()
        )
        began = time.perf_counter()
        running = asyncio.create_task(aggregator.run())
        await eventually(lambda: len(aggregator.folds()) == partitions)
        await aggregator.settle()
        seconds = time.perf_counter() - began
        aggregator.stop()
        await running
    return seconds, ledger.stage("findings", "findings").emitted


def show(what: str, count: int, size: int, seconds: float, reference: float = 0.0) -> None:
    rate = count / seconds
    ratio = f"  {reference / seconds:5.2f} x bare" if reference else ""
    print(f"{what:<46}{rate:>9.0f} frames/s {rate * size / 1e6:>8.1f} MB/s{ratio}")


async def measure(count: int, size: int, folder: Path) -> None:
    began = time.perf_counter()
    async with running_bus(folder / "bus", BusSettings(partitions=4)) as running:
        bus = running.bus
        print(f"nats-server up and provisioned in {(time.perf_counter() - began) * 1e3:.0f} ms")
        put, disk = await synced(frames_of(32, count, size), folder / "alone")
        show("spool: put", count, size, put)
        show("spool: put and on the disk", count, size, disk)
        for sessions in (1, 8, 64):
            frames = frames_of(sessions, count, size)
            alone = min([await bare(bus, frames, min(sessions, WINDOW)) for _ in range(ROUNDS)])
            show(f"bare publish, {sessions} in flight at most", count, size, alone)
            await bus.js.purge_stream(subjects.EVENTS)
            times = []
            for number in range(ROUNDS):
                # The server knows the ids of a round: each needs an epoch of its own.
                for header, _ in frames:
                    header.epoch_ns += sessions + number
                times.append(await spooled(bus, frames, folder / f"spool-{sessions}-{number}"))
            seconds = min(times)
            show(f"spool and publisher, {sessions} sessions", count, size, seconds, alone)
        await bus.js.purge_stream(subjects.EVENTS)
        await bare(bus, frames_of(64, count, size), WINDOW)
        seconds, findings = await worked(bus, 4)
        show("worker: fetch, fold, answer, checkpoint", count, size, seconds)
        print(f"{findings} findings in {seconds:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak RSS of this process: {peak:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--bytes", type=int, default=16384)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options.frames, options.bytes, Path(folder)))


if __name__ == "__main__":
    main()
