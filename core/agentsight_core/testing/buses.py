"""A real bus for tests: nats-server as a child, connected and provisioned."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.bus.connection import Bus, ConnectionSettings, connect
from agentsight_core.bus.provisioning import BusSettings, provision
from agentsight_core.bus.server import NatsServer, ServerSettings


@dataclass(frozen=True, slots=True)
class RunningBus:
    """The server and a connection to it."""

    server: NatsServer
    bus: Bus

    def connection(self, name: str, request_seconds: float = 5.0) -> ConnectionSettings:
        """Return settings for one more connection."""
        return ConnectionSettings(
            (self.server.url,), name, self.server.token, request_seconds=request_seconds
        )


@contextlib.asynccontextmanager
async def running_bus(folder: Path, settings: BusSettings) -> AsyncIterator[RunningBus]:
    """Start a server in `folder`, provision it, stop it at the end."""
    async with NatsServer(ServerSettings(folder)) as server:
        seconds = 1.0
        wanted = ConnectionSettings((server.url,), "test", server.token, request_seconds=seconds)
        async with connect(wanted) as bus:
            await provision(bus, settings)
            yield RunningBus(server, bus)
