"""A bus of three servers that has no room for a stream now, or never."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, ConnectionSettings, connect
from agentsight_core.bus.provisioning import BusSettings, StreamSettings, provision
from agentsight_core.errors import ConfigError
from agentsight_core.testing.nats_cluster import provisioned, three_servers
from nats.js.api import StreamConfig
from nats.js.errors import APIError

pytestmark = pytest.mark.server

_MIB = 1 << 20
SMALL = StreamSettings(20 * _MIB, 3600.0)
SETTINGS = BusSettings(
    partitions=1,
    replicas=3,
    events=SMALL,
    findings=SMALL,
    dlq=SMALL,
    checkpoint_max_bytes=20 * _MIB,
    sessions_max_bytes=20 * _MIB,
)


def with_events(max_bytes: int) -> BusSettings:
    return dataclasses.replace(SETTINGS, events=StreamSettings(max_bytes, 3600.0))


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    """A provisioned bus with room for 400 MiB on each server, and without EVENTS."""
    async with (
        three_servers(tmp_path, max_store_bytes=400 * _MIB) as servers,
        connect(ConnectionSettings(tuple(servers), "test")) as bus,
    ):
        await provisioned(bus, SETTINGS)
        await bus.js.delete_stream(subjects.EVENTS)
        yield bus


async def fill(bus: Bus) -> None:
    """Reserve room until the servers refuse: what is reserved becomes known after a while."""
    number = 0
    refusals: list[APIError] = []
    async with asyncio.timeout(30):
        while not refusals:
            number += 1
            filler = StreamConfig(f"FILL{number}", num_replicas=3, max_bytes=60 * _MIB)
            filler.subjects = [f"fill.{number}"]
            try:
                await bus.js.add_stream(filler)
            except APIError as error:
                refusals.append(error)
    assert "insufficient storage" in str(refusals[0])


async def test_room_that_comes_late_is_waited_for(bus: Bus) -> None:
    await fill(bus)
    providing = asyncio.create_task(provision(bus, with_events(100 * _MIB)))
    _, waiting = await asyncio.wait([providing], timeout=2.0)
    assert waiting, "a refusal that can pass was taken as final"
    for stream in await bus.js.streams_info():
        if stream.config.name.startswith("FILL"):
            await bus.js.delete_stream(stream.config.name)
    await providing
    assert (await bus.stream_state(subjects.EVENTS)).config.max_bytes == 100 * _MIB


async def test_what_never_fits_is_an_error_of_the_configuration(bus: Bus) -> None:
    with pytest.raises(ConfigError, match=r"EVENTS.*insufficient storage.*do not fit"):
        await provision(bus, with_events(1 << 30), placing_seconds=1.0)
