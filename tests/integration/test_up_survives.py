"""`agentsight up` with real probes and a real bus: kills, restarts and stops lose nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import LlmTlsServer, llm_tls_server
from agentsight_core.testing.running_up import RunningUp, caller, own_model, running_up, start_up

pytestmark = [pytest.mark.kernel, pytest.mark.server]

MODEL = own_model("claude-up-survives")


def sessions_of(up: RunningUp, model: str) -> set[str]:
    spans = [finding for finding in up.findings() if finding["kind"] == "span"]
    key = "gen_ai.request.model"
    return {one["session"] for one in spans if one["span"]["attributes"].get(key) == model}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LlmTlsServer]:
    with llm_tls_server(tmp_path) as server:
        yield server


async def test_a_stop_drains_and_a_restart_goes_on(server: LlmTlsServer, tmp_path: Path) -> None:
    async with running_up(tmp_path) as up, caller(server, MODEL) as program:
        for number in range(1, 11):
            await program.call(number)

        second = await start_up(tmp_path, {})
        assert await second.wait() == 2
        assert f"the system runs already with the state directory {up.state_dir}" in (
            (tmp_path / "up.log").read_text()
        )

        assert await up.stop() == 0
        assert up.calls(MODEL) == list(range(1, 11))
        assert up.losses() == {}

        async with running_up(tmp_path) as again:
            for number in range(11, 21):
                await program.call(number)
            assert await again.stop() == 0
    assert again.calls(MODEL) == list(range(1, 21))
    assert again.losses() == {}


async def test_a_killed_bus_comes_back_and_nothing_is_lost_or_twice(
    server: LlmTlsServer, tmp_path: Path
) -> None:
    async with running_up(tmp_path) as up, caller(server, MODEL) as program:

        async def kill_thrice() -> None:
            for _ in range(3):
                await up.kill("nats-server")

        killing = asyncio.create_task(kill_thrice())
        number = 0
        while not killing.done():
            number += 1
            await program.call(number)
        await killing
        await eventually(lambda: len(up.calls(MODEL)) >= number, 60)
        assert await up.stop() == 0
    # The program's own count and the server's are the truth.
    assert len(server.pairs) == number > 100
    assert up.calls(MODEL) == list(range(1, number + 1))
    ids = [finding["id"] for finding in up.findings()]
    assert len(ids) == len(set(ids))
    assert up.losses() == {}


async def test_a_killed_agent_comes_back_and_delivers_its_spool(
    server: LlmTlsServer, tmp_path: Path
) -> None:
    spool = tmp_path / "state" / "spool"

    def spooled() -> int:
        return sum(file.stat().st_size for file in spool.rglob("*") if file.is_file())

    async with running_up(tmp_path) as up, caller(server, MODEL) as program:
        await program.call(1)
        await eventually(lambda: up.calls(MODEL) == [1])
        watched = sessions_of(up, MODEL)
        bus = up.pid("nats-server")
        os.kill(bus, signal.SIGSTOP)
        before = spooled()
        await program.call(2)
        await eventually(lambda: spooled() > before)
        await eventually((tmp_path / "state" / "epoch.json").exists)
        await up.kill("agent")
        os.kill(bus, signal.SIGCONT)
        await program.call(3)
        await eventually(lambda: set(up.calls(MODEL)) == {1, 2, 3})
        assert await up.stop() == 0
    assert sorted(up.calls(MODEL)) == [1, 2, 3]
    # What died with it nobody can count: its session is told, and the ledger says so.
    told = [finding for finding in up.findings() if finding["kind"] == "loss"]
    killed = [one for one in told if one["loss"]["stage"] == "agent"]
    assert {one["loss"]["reason"] for one in killed} == {"killed"}
    assert {one["session"] for one in killed} == watched
    assert "agent agent" in up.losses()
    assert not (tmp_path / "state" / "epoch.json").exists()
