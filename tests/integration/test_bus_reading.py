"""Reading streams: pages, following, and the bucket of sessions that the server keeps."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Outgoing
from agentsight_core.bus.provisioning import BusSettings, provision
from agentsight_core.bus.reading import follow, read_page
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.conditions import eventually

pytestmark = pytest.mark.server

MIB = 1 << 20


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningBus]:
    async with running_bus(tmp_path / "bus", BusSettings(partitions=2)) as running:
        yield running


async def write(running: RunningBus, *names: str, size: int = 0) -> None:
    for name in names:
        await running.bus.publish(Outgoing(f"findings.{name}", name.encode().ljust(size, b".")))


async def test_pages_follow_each_other_to_the_end(running: RunningBus) -> None:
    await write(running, "0.a.span", "1.b.span", "0.a.edge", "0.a.span", "1.a.span")
    read: list[list[str]] = []
    sequence = 1
    while sequence:
        page = await read_page(running.bus, "FINDINGS", sequence, "findings.*.a.>", 3, MIB)
        read.append([message.data.decode() for message in page.messages])
        sequence = page.next_sequence
    assert read == [["0.a.span", "0.a.edge", "0.a.span"], ["1.a.span"]]
    nothing = await read_page(running.bus, "FINDINGS", 1, "findings.*.c.>", 3, MIB)
    assert (nothing.messages, nothing.next_sequence) == ([], 0)


async def test_a_page_ends_with_the_message_that_fills_it(running: RunningBus) -> None:
    await write(running, "0.a.span", "0.a.span", "0.a.span", size=1000)
    page = await read_page(running.bus, "FINDINGS", 1, "findings.>", 10, 1500)
    assert [message.sequence for message in page.messages] == [1, 2], "the second one fills it"
    assert page.next_sequence == 3
    page = await read_page(running.bus, "FINDINGS", 2, "findings.>", 10, 10)
    assert [message.sequence for message in page.messages] == [2]


async def collect(running: RunningBus, sequence: int, count: int, seen: list[str]) -> None:
    async with contextlib.aclosing(
        follow(running.bus, "FINDINGS", "findings.>", sequence)
    ) as found:
        async for batch in found:
            seen += [message.data.decode() for message in batch.messages]
            if len(seen) >= count:
                return


async def test_following_goes_on_when_the_server_has_lost_the_reader(running: RunningBus) -> None:
    names = [f"0.{number}.span" for number in range(200)]
    await write(running, *names[:100])
    seen: list[str] = []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(collect(running, 1, 200, seen))
        await eventually(lambda: len(seen) == 100)
        for info in await running.bus.js.consumers_info("FINDINGS"):
            await running.bus.js.delete_consumer("FINDINGS", info.name)
        await write(running, *names[100:])
    assert seen == names
    assert (await running.bus.stream_state("FINDINGS")).state.consumer_count == 0


async def test_following_goes_on_after_the_server_was_killed(running: RunningBus) -> None:
    names = [f"0.{number}.span" for number in range(20)]
    await write(running, *names[:10])
    seen: list[str] = []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(collect(running, 1, 20, seen))
        await eventually(lambda: len(seen) == 10)
        os.kill(running.server.pid, signal.SIGKILL)
        await running.server.wait_ended()
        await running.server.start()
        await eventually(lambda: bool(running.bus.client.is_connected))
        await write(running, *names[10:])
    assert seen == names


async def test_the_bucket_of_sessions_holds_the_newest_summary_of_each(
    running: RunningBus,
) -> None:
    bucket = f"KV_{subjects.SESSIONS}"
    batch = [
        Outgoing(f"findings.{session % 2}.{session:016x}.session_summary", b"%d" % revision)
        for revision in range(3)
        for session in range(5)
    ]
    for partition in range(2):
        mine = [item for item in batch if item.subject.startswith(f"findings.{partition}.")]
        await running.bus.append(mine, f"findings.{partition}.>", 0)
    await provision(running.bus, BusSettings(partitions=2))
    async with asyncio.timeout(20):
        async for found in follow(running.bus, bucket, ">", 1):
            if found.messages and found.messages[-1].sequence == len(batch):
                break
    page = await read_page(running.bus, bucket, 1, f"$KV.{subjects.SESSIONS}.>", 10, MIB)
    found = {message.subject: message.data for message in page.messages}
    assert found == {f"$KV.sessions.{session:016x}.{session % 2}": b"2" for session in range(5)}
