"""The health check of containers, as a process against real telemetry pages."""

import asyncio
import os
import sys
from pathlib import Path

from agentsight_core.runtime.notes import announced
from agentsight_core.telemetry.http import TelemetryServer
from agentsight_core.telemetry.ledger import Ledger
from prometheus_client import CollectorRegistry


async def ask(state_dir: Path, component: str = "agent") -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentsight_core.runtime.health", component),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "AGENTSIGHT_NODE_STATE_DIR": str(state_dir)},
    )
    _, words = await process.communicate()
    return process.returncode, words.decode()


async def test_ready_not_yet_and_away(tmp_path: Path) -> None:
    waits_for = ["the bus"]
    pages = TelemetryServer(CollectorRegistry(), Ledger(), not_ready=lambda: waits_for)
    async with pages:
        port = pages.port
        assert await ask(tmp_path) == (1, f"no agent has said in {tmp_path} that it runs\n")
        with announced(tmp_path, "agent", {"telemetry_port": port}):
            assert await ask(tmp_path) == (1, "waiting for the bus\n")
            waits_for.clear()
            assert await ask(tmp_path) == (0, "")
            assert (await ask(tmp_path, "aggregator"))[0] == 1
    with announced(tmp_path, "agent", {"telemetry_port": port}):
        status, words = await ask(tmp_path)
    assert status == 1
    assert "refused" in words


async def test_another_word_is_wrong_usage(tmp_path: Path) -> None:
    assert (await ask(tmp_path, "bus"))[0] == 2
