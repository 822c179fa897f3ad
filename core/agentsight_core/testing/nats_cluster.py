"""A real JetStream cluster of three servers on loopback for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from agentsight_core.bus.connection import Bus
from agentsight_core.bus.provisioning import BusSettings, provision
from agentsight_core.bus.server import find_program
from agentsight_core.errors import Retryable
from agentsight_core.testing.ports import free_ports

_SIZE = 3
_USERS = "nats-users.conf"
_ROUTES = "nats-routes.conf"
_START_SECONDS = 40.0


@contextlib.asynccontextmanager
async def three_servers(
    folder: Path, *, fragments: Path | None = None, max_store_bytes: int = 1 << 40
) -> AsyncIterator[list[str]]:
    """Start the servers and yield their URLs; they may still be finding each other.

    `fragments`: where `agentsight certs` has written nats-users.conf and nats-routes.conf.
    """
    ports = free_ports(2 * _SIZE)
    servers = []
    if fragments is not None:
        # Before any of the servers reads them: it takes the path of an include as relative to its
        # own configuration.
        for name in (_USERS, _ROUTES):
            (folder / name).write_bytes((fragments / name).read_bytes())
    try:
        for number in range(_SIZE):
            config = folder / f"{number}.conf"
            is_secured = fragments is not None
            config.write_text(
                _config(folder, number, ports, max_store_bytes, is_secured=is_secured)
            )
            log = str(folder / f"{number}.log")
            servers.append(
                await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "KILL"),
                    *(find_program(), "--config", str(config), "--log", log),
                )
            )
        yield [f"nats://127.0.0.1:{port}" for port in ports[:_SIZE]]
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def provisioned(bus: Bus, settings: BusSettings) -> None:
    """Provision as soon as the servers have found each other."""
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                await provision(bus, settings)
            except Retryable:
                await asyncio.sleep(0.2)
            else:
                return


def _config(
    folder: Path, number: int, ports: Sequence[int], max_store_bytes: int, *, is_secured: bool
) -> str:
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[_SIZE:])
    users = f'include "{_USERS}"' if is_secured else ""
    trust = f'include "{_ROUTES}"' if is_secured else ""
    return f"""\
server_name: bus-{number}
host: 127.0.0.1
port: {ports[number]}
jetstream {{
  store_dir: {json.dumps(str(folder / str(number)))}
  max_file_store: {max_store_bytes}
}}
{users}
cluster {{
  name: three
  host: 127.0.0.1
  port: {ports[_SIZE + number]}
  routes: [{routes}]
  {trust}
}}
"""
