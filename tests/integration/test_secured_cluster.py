"""Three servers that trust each other by certificates, with what `agentsight certs` writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from agentsight_cli.certs.working_set import Wanted, make_set
from agentsight_core.bus import subjects
from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import Bus, connect
from agentsight_core.bus.provisioning import BusSettings, provision
from agentsight_core.bus.server import find_program
from agentsight_core.config import load_config
from agentsight_core.errors import Retryable

pytestmark = pytest.mark.server


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def server_config(folder: Path, made: Path, number: int, ports: Sequence[int]) -> Path:
    (folder / "nats-routes.conf").write_bytes((made / "nats-routes.conf").read_bytes())
    (folder / "nats-users.conf").write_bytes((made / "nats-users.conf").read_bytes())
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[3:])
    config = folder / f"{number}.conf"
    config.write_text(
        f"""\
server_name: bus-{number}
host: 127.0.0.1
port: {ports[number]}
jetstream {{ store_dir: {json.dumps(str(folder / str(number)))} }}
include "nats-users.conf"
cluster {{
  name: secured
  host: 127.0.0.1
  port: {ports[3 + number]}
  routes: [{routes}]
  include "nats-routes.conf"
}}
"""
    )
    return config


@contextlib.asynccontextmanager
async def three_servers(folder: Path, made: Path) -> AsyncIterator[list[str]]:
    ports = free_ports(6)
    servers = []
    try:
        for number in range(3):
            config = server_config(folder, made, number, ports)
            log = str(folder / f"{number}.log")
            servers.append(
                await asyncio.create_subprocess_exec(
                    find_program(), "--config", str(config), "--log", log
                )
            )
        yield [f"nats://127.0.0.1:{port}" for port in ports[:3]]
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def provisioned(bus: Bus, settings: BusSettings) -> None:
    async with asyncio.timeout(40):
        while True:
            try:
                await provision(bus, settings)
            except Retryable:
                # The servers are still finding each other.
                await asyncio.sleep(0.2)
            else:
                return


async def test_streams_are_replicated_over_routes_with_certificates(tmp_path: Path) -> None:
    made = tmp_path / "set"
    make_set(made, Wanted(nodes=("n1",)))
    async with three_servers(tmp_path, made) as servers:
        config = load_config(made / "aggregator.yaml", {}, {"bus.servers": tuple(servers)})
        async with connect(connection_settings(config, "aggregator")) as bus:
            await provisioned(bus, BusSettings(partitions=1, replicas=3))
            info = await bus.stream_state(subjects.EVENTS)
            assert info.config.num_replicas == 3
            assert len(info.cluster.replicas) == 2
