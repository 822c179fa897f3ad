"""The telemetry server listens elsewhere, and shows /metrics or not, while it runs."""

import asyncio
import socket

import pytest
from agentsight_core.telemetry.http import TelemetryServer, TelemetrySettings
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.ports import free_ports
from prometheus_client import CollectorRegistry


async def status(port: int, page: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {page} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


async def test_it_moves_and_the_old_port_is_free() -> None:
    async with TelemetryServer(CollectorRegistry(), Ledger()) as server:
        old, [new] = server.port, free_ports(1)
        await server.apply(TelemetrySettings(port=new))
        assert server.port == new
        assert await status(new, "/healthz") == 200
        with pytest.raises(ConnectionRefusedError):
            await status(old, "/healthz")


async def test_a_port_that_is_taken_changes_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        async with TelemetryServer(CollectorRegistry(), Ledger()) as server:
            old = server.port
            with pytest.raises(OSError, match="in use"):
                await server.apply(TelemetrySettings(port=other.getsockname()[1]))
            assert server.port == old
            assert await status(old, "/healthz") == 200


async def test_metrics_are_switched_off_and_on() -> None:
    async with TelemetryServer(CollectorRegistry(), Ledger()) as server:
        assert await status(server.port, "/metrics") == 200
        await server.apply(TelemetrySettings(metrics=False))
        assert await status(server.port, "/metrics") == 404
        assert await status(server.port, "/ledger") == 200
        await server.apply(TelemetrySettings())
        assert await status(server.port, "/metrics") == 200
