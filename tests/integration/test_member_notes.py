"""Notes that processes keep on the bus about themselves."""

import asyncio
from pathlib import Path

import pytest
from agentsight_core.bus.connection import ConnectionSettings, connect
from agentsight_core.bus.members import noted, read_notes
from agentsight_core.bus.provisioning import BusSettings, provision
from agentsight_core.bus.server import NatsServer, ServerSettings
from agentsight_core.pb.api_pb2 import MemberStatus

pytestmark = pytest.mark.server

NOTE = MemberStatus(kind="agent", name="early")


async def test_a_note_for_which_there_is_no_place_yet_is_written_soon(tmp_path: Path) -> None:
    tried = asyncio.Event()

    def describe() -> MemberStatus:
        tried.set()
        return NOTE

    async with NatsServer(ServerSettings(tmp_path)) as server:
        settings = ConnectionSettings((server.url,), "test", server.token, request_seconds=1.0)
        async with connect(settings) as bus, noted(bus, describe, 600.0):
            await tried.wait()
            await provision(bus, BusSettings(partitions=1))
            async with asyncio.timeout(20):
                while not (found := await read_notes(bus)):
                    pass
            assert found == [NOTE]
