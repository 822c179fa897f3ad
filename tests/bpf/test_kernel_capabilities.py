"""The rights that the documentation gives the agent suffice to watch a program of another user.

Not in a container, as its engine may be too old to name them: setpriv(1) sets the same bounds.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.bus.server import NatsServer
from agentsight_core.runtime.notes import read_note
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.cluster.cluster import patiently
from agentsight_core.testing.cluster.evidence import read_stream
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import LlmTlsServer, llm_tls_server
from agentsight_core.testing.running_up import CALLER, Caller

pytestmark = [pytest.mark.kernel, pytest.mark.server]

ROOT = Path(__file__).parents[2]
MODEL = "claude-of-another-user"
NOBODY = "65534"


def documented() -> list[str]:
    text = (ROOT / "deploy" / "compose" / "capabilities.yaml").read_text()
    return list(yaml.safe_load(text)["services"]["agent"]["cap_add"])


def rights_of(pid: int) -> int:
    """Return how many capabilities a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    [effective] = [line for line in status.splitlines() if line.startswith("CapEff")]
    return int(effective.split()[1], 16).bit_count()


@contextlib.asynccontextmanager
async def agent_with(
    capabilities: list[str], state_dir: Path, bus: NatsServer
) -> AsyncIterator[None]:
    token = state_dir.parent / "token"
    token.write_text(bus.token)
    values = {
        "NODE_STATE_DIR": str(state_dir),
        "NODE_TELEMETRY_PORT": "0",
        "BUS_EMBEDDED": "false",
        "BUS_SERVERS": json.dumps([bus.url]),
        "BUS_TOKEN_FILE": str(token),
    }
    kept = ",".join(["-all", *(f"+{name.lower()}" for name in capabilities)])
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--bounding-set", kept, "--inh-caps", kept, "--no-new-privs"),
        *(sys.executable, "-m", "agentsight_agent"),
        env={**os.environ, **{f"AGENTSIGHT_{key}": value for key, value in values.items()}},
    )
    try:
        await eventually(lambda: read_note(state_dir, "agent") is not None, 60)
        assert rights_of(process.pid) == len(capabilities)
        yield
    finally:
        process.terminate()
        await process.wait()


def system_libraries(*names: str) -> list[str]:
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    return [line.split(" => ")[1] for line in known.splitlines() if line.strip().startswith(names)]


def prepared(folder: Path, server: LlmTlsServer) -> Path:
    """Lay out what the program brings along, readable by everybody."""
    folder.chmod(0o755)
    authority = folder / "ca.pem"
    authority.write_bytes(server.ca.read_bytes())
    authority.chmod(0o644)
    for library in system_libraries("libssl.so.3", "libcrypto.so.3"):
        shutil.copy(library, folder)
    return authority


@contextlib.asynccontextmanager
async def caller_of_nobody(server: LlmTlsServer) -> AsyncIterator[Caller]:
    """Run a program of another user, which brings its own OpenSSL along.

    Where that lies is in its /proc/PID/maps alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        authority = prepared(Path(folder), server)
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"),
            *("/usr/bin/python3", "-c", CALLER, MODEL, ""),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                "SSL_CERT_FILE": str(authority),
                "PORT": str(server.server_port),
                "LD_LIBRARY_PATH": folder,
            },
            cwd="/",
        )
        try:
            yield Caller(process)
        finally:
            process.stdin.close()
            await process.wait()


async def bodies(bus: Bus) -> bytes:
    """Return all that was said, as it is in EVENTS."""
    frames = [wire.decode_frame(m.data)[1] for m in await read_stream(bus, subjects.EVENTS)]
    return b"".join(event.http_body.data for events in frames for event in events)


async def test_the_documented_capabilities_suffice(tmp_path: Path) -> None:
    assert len(documented()) == 5
    (tmp_path / "tls").mkdir()
    async with contextlib.AsyncExitStack() as stack:
        running = running_bus(tmp_path / "bus", BusSettings(partitions=1))
        bus = await stack.enter_async_context(running)
        agent = agent_with(documented(), tmp_path / "state", bus.server)
        await stack.enter_async_context(agent)
        llm = stack.enter_context(llm_tls_server(tmp_path / "tls"))
        caller = await stack.enter_async_context(caller_of_nobody(llm))

        async def arrived() -> bool:
            # One more: a library that is new to the agent takes it a moment.
            await caller.call(7)
            return MODEL.encode() in await bodies(bus.bus)

        await patiently(arrived, 60)
