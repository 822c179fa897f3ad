"""`agentsight config`: the cluster's configuration as a person changes it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from agentsight_aggregator.api.admission import kept_token
from agentsight_aggregator.api.server import ApiSettings, serving
from agentsight_core.bus.generations import GenerationLog, Report
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.config.api import TOKEN_FILE
from agentsight_core.runtime.notes import announced
from agentsight_core.testing.buses import RunningBus, running_bus

pytestmark = pytest.mark.server

Command = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[RunningBus]:
    folder = tmp_path / "bus"
    async with running_bus(folder, BusSettings(partitions=1)) as running:
        facts = {"url": running.server.url, "token_file": str(folder / "token")}
        with announced(tmp_path, "bus", facts):
            yield running


@pytest.fixture
def config(system: RunningBus, tmp_path: Path) -> Command:
    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agentsight_cli", "config", *arguments]
        return await asyncio.to_thread(
            subprocess.run,
            [*command, "--state-dir", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "COLUMNS": "200"},
            check=False,
        )

    return run


@pytest.fixture(params=["bus", "api"])
async def either(
    request: pytest.FixtureRequest, config: Command, system: RunningBus, tmp_path: Path
) -> AsyncIterator[Command]:
    """The command by way of the bus, and by way of an aggregator's API."""
    if request.param == "bus":
        yield config
        return
    token = kept_token(tmp_path / TOKEN_FILE)
    async with serving(system.bus, ApiSettings(1, "127.0.0.1", 0, token=token)) as port:

        async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await config(*arguments, "--api", f"127.0.0.1:{port}")

        yield run


async def test_set_get_unset_history_rollback(either: Command) -> None:
    config = either
    assert "nothing is set" in (await config("get")).stdout
    assert (
        await config("set", "capture.mode", "none")
    ).stdout == "generation 1: set capture.mode\n"
    assert (await config("get", "capture.mode")).stdout == "none\n"
    assert (await config("set", "sessions.rules", "[{name: a, user: root}]")).returncode == 0
    assert (await config("unset", "capture.mode")).returncode == 0
    assert "by default redacted" in (await config("get", "capture.mode")).stdout
    assert (await config("rollback", "1")).stdout == "generation 4: rolled back to 1\n"
    shown = json.loads((await config("get", "--json")).stdout)
    assert (shown["number"], shown["values"]) == (4, {"capture": {"mode": "none"}})
    history = json.loads((await config("history", "--json")).stdout)
    assert [(one["number"], one["note"]) for one in history] == [
        (4, "rolled back to 1"),
        (3, "unset capture.mode"),
        (2, "set sessions.rules"),
        (1, "set capture.mode"),
    ]
    gone = await config("rollback", "9")
    assert (gone.returncode, "kept are 0, 1, 2, 3, 4" in gone.stderr) == (2, True)


async def test_what_is_wrong_is_never_written(
    config: Command, system: RunningBus, tmp_path: Path
) -> None:
    for key, value, said in (
        ("capture.mode", "al", "allowed: 'none', 'metadata', 'redacted' or 'full'"),
        ("bus.partitions", "8", "restart needed: bus.partitions"),
        ("capture.moed", "none", "did you mean capture.mode"),
    ):
        refused = await config("set", key, value)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    file = tmp_path / "cluster.yaml"
    file.write_text("capture:\n  mode: al\n  fles: true\n")
    refused = await config("apply", str(file))
    assert refused.returncode == 2
    assert f"{file}:2: capture.mode: 'al' is wrong" in refused.stderr
    assert f"{file}:3: capture.fles: is no known key; did you mean files?" in refused.stderr
    assert (await GenerationLog(system.bus).last()).number == 0
    file.write_text("capture: {mode: metadata}\n")
    assert (await config("apply", str(file))).stdout == "generation 1: applied cluster.yaml\n"


async def test_status_says_who_runs_what(config: Command, system: RunningBus) -> None:
    await config("set", "capture.mode", "none")
    log = GenerationLog(system.bus)
    await log.report(Report("agent", "node-1", generation=1, offered=1, ok=True))
    assert (await config("status")).returncode == 0
    problem = "session rule a: this node has no user 'me'"
    await log.report(Report("agent", "node-2", 0, offered=1, ok=False, problems=[problem]))
    status = await config("status")
    assert status.returncode == 1
    rows = [line.split()[:4] for line in status.stdout.splitlines()]
    assert ["agent", "node-1", "1", "ok"] in rows
    assert ["agent", "node-2", "0", "refused"] in rows
    assert f"agent node-2: {problem}" in status.stdout
