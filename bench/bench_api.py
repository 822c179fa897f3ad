"""Findings a second out of the bus: read bare, merged, paged and streamed over the API.

The yardstick is reading the same messages from the bus and parsing them.
Run: python bench/bench_api.py [--findings 20000]
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from pathlib import Path

import grpc.aio
from agentsight_aggregator.api.server import ApiSettings, serving
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.bus.reading import follow
from agentsight_core.merging import Merge, MergeSettings
from agentsight_core.pb import api_pb2 as api
from agentsight_core.pb import api_pb2_grpc as stubs
from agentsight_core.pb.findings_pb2 import Attribute, Finding, Span
from agentsight_core.testing.buses import running_bus

PARTITIONS = 4
BATCH = 500
START_NS = 1_800_000_000_000_000_000


def findings(count: int) -> list[Finding]:
    """Return spans of about 1 KiB, a millisecond apart."""
    attributes = [Attribute(key=f"key.{n}", string_value="value " * 10) for n in range(12)]
    return [
        Finding(
            id=number.to_bytes(16, "big"),
            session=number % 50 + 1,
            time_ns=START_NS + number * 1_000_000,
            span=Span(name=f"chat {number}", attributes=attributes),
        )
        for number in range(count)
    ]


async def write(bus: Bus, found: list[Finding]) -> None:
    last = dict.fromkeys(range(PARTITIONS), 0)
    for start in range(0, len(found), BATCH):
        parts: dict[int, list[Outgoing]] = {}
        for item in found[start : start + BATCH]:
            partition = item.session % PARTITIONS
            subject = subjects.finding_subject(partition, item)
            parts.setdefault(partition, []).append(Outgoing(subject, item.SerializeToString()))
        for partition, messages in parts.items():
            pattern = subjects.findings_filter(partition)
            last[partition] = await bus.append(messages, pattern, last[partition])


async def bare(bus: Bus, count: int) -> float:
    """Seconds to read and parse everything from the bus."""
    began, seen = time.perf_counter(), 0
    async with contextlib.aclosing(follow(bus, subjects.FINDINGS, "findings.>", 1)) as batches:
        async for batch in batches:
            seen += len([Finding.FromString(message.data) for message in batch.messages])
            if seen >= count:
                return time.perf_counter() - began
    raise AssertionError("the stream never ends")


async def paged(channel: grpc.aio.Channel, count: int) -> float:
    """Seconds to get everything in pages of 1,000."""
    query = stubs.FindingsStub(channel).QueryFindings
    began, seen, token = time.perf_counter(), 0, ""
    while seen < count:
        page = await query(api.QueryFindingsRequest(page_size=1000, page_token=token))
        seen, token = seen + len(page.findings), page.next_page_token
    return time.perf_counter() - began


async def streamed(channel: grpc.aio.Channel, count: int) -> tuple[float, api.MergeAccount]:
    """Seconds to get everything as a stream in the order of time, and its account."""
    request = api.StreamFindingsRequest(from_beginning=True, lateness_ms=1000)
    began, seen = time.perf_counter(), 0
    stream = stubs.FindingsStub(channel).StreamFindings(request)
    async for answer in stream:
        seen += len(answer.findings)
        if seen >= count:
            stream.cancel()
            return time.perf_counter() - began, answer.order
    raise AssertionError("the stream never ends")


def merged(found: list[Finding]) -> float:
    """Seconds to merge everything, in the batches in which it would be read."""
    merge = Merge[Finding](MergeSettings(1_000_000_000), range(PARTITIONS))
    began, seen = time.perf_counter(), 0
    for start in range(0, len(found), 64):
        for item in found[start : start + 64]:
            merge.add(item.session % PARTITIONS, item.time_ns, item, 1000)
        seen += len(merge.take())
    seen += len(merge.drain())
    assert seen == len(found)
    return time.perf_counter() - began


def show(name: str, seconds: float, count: int, yardstick: float) -> None:
    print(f"{name:<28} {count / seconds:>9,.0f} findings/s   {seconds / yardstick:.2f} x bare")


async def run(count: int) -> None:
    found = findings(count)
    with tempfile.TemporaryDirectory() as folder:
        settings = BusSettings(partitions=PARTITIONS)
        async with (
            running_bus(Path(folder), settings) as running,
            serving(running.bus, ApiSettings(PARTITIONS, grace_seconds=0)) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            await write(running.bus, found)
            yardstick = await bare(running.bus, count)
            print(f"{count:,} findings of {found[0].ByteSize():,} bytes, {PARTITIONS} partitions")
            show("bus, bare", yardstick, count, yardstick)
            show("merging alone", merged(found), count, yardstick)
            show("API, pages of 1,000", await paged(channel, count), count, yardstick)
            seconds, order = await streamed(channel, count)
            show("API, stream in order", seconds, count, yardstick)
            print(f"late {order.late}, early {order.early} of {order.received}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=int, default=20_000)
    asyncio.run(run(parser.parse_args().findings))


if __name__ == "__main__":
    main()
