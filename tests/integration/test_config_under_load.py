"""The configuration changes while an agent talks: no restart, nothing lost, nothing twice."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import llm_tls_server
from agentsight_core.testing.running_up import Caller, RunningUp, caller, running_up

pytestmark = [pytest.mark.kernel, pytest.mark.server]

MODEL = "model-under-load"
CHANGES = (
    ("capture.mode", "full"),
    ("capture.network", "false"),
    ("capture.files", "false"),
    ("capture.flush_interval_ms", "20"),
    ("sessions.rules", "[{name: nobody, executable: '*/no-such-program'}]"),
    ("spool.max_bytes", "64MiB"),
    ("aggregator.checkpoint_interval_ms", "300"),
    ("aggregator.content", "false"),
    # The exporter is replaced while findings come.
    ("exporters.jsonl.max_files", "9"),
    ("exporters.jsonl.max_files", "8"),
    ("capture.mode", "redacted"),
    ("capture.network", "true"),
)


async def config(up: RunningUp, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentsight_cli", "config", *arguments]
    return await asyncio.to_thread(
        subprocess.run,
        [*command, "--state-dir", str(up.state_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
        check=False,
    )


async def all_run(up: RunningUp, generation: int) -> None:
    """Return when agent and aggregator say that they run `generation`."""
    async with asyncio.timeout(60):
        while True:
            status = json.loads((await config(up, "status", "--json")).stdout)
            if [one["generation"] for one in status["members"]] == [generation] * 2:
                return


def metric(up: RunningUp, component: str, name: str) -> float:
    url = f"http://127.0.0.1:{up.telemetry_port(component)}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@contextlib.asynccontextmanager
async def calling(agent: Caller) -> AsyncIterator[list[int]]:
    """Call without a pause inside of the context; gives the numbers of the calls made."""
    made: list[int] = []
    stop = asyncio.Event()

    async def call_on() -> None:
        while not stop.is_set():
            await agent.call(len(made) + 1)
            made.append(len(made) + 1)

    task = asyncio.create_task(call_on())
    try:
        yield made
    finally:
        stop.set()
        await task


@pytest.mark.timeout(240)
async def test_changes_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with llm_tls_server(tmp_path) as server:
        async with running_up(tmp_path) as up:
            pids = [up.pid(name) for name in ("agent", "aggregator")]
            async with caller(server, MODEL) as agent, calling(agent) as made:
                for key, value in CHANGES:
                    done = await config(up, "set", key, value)
                    assert done.returncode == 0, done.stderr
                    wanted = len(made) + 5
                    await eventually(partial(lambda number: len(made) > number, wanted))
                await all_run(up, len(CHANGES))
                refused = await config(up, "set", "bus.partitions", "8")
                assert refused.returncode == 2
            for component in ("agent", "aggregator"):
                assert metric(up, component, "agentsight_config_generation") == len(CHANGES)
                assert metric(up, component, "agentsight_config_reload_ok") == 1
            assert [up.pid(name) for name in ("agent", "aggregator")] == pids
            assert await up.stop() == 0
        assert up.calls(MODEL) == made
        assert up.lost() == 0


@pytest.mark.timeout(180)
async def test_a_changed_file_is_taken_and_a_bad_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("capture: {mode: redacted}\n")
    log = tmp_path / "up.log"
    async with running_up(tmp_path, {"CONFIG": str(file)}) as up:
        file.write_text("capture: {mode: al}\n")
        await eventually(lambda: "capture.mode: 'al' is wrong: allowed:" in log.read_text())
        file.write_text("capture: {mode: none, files: false}\n")
        changed = "changed: capture.mode, capture.files"
        await eventually(lambda: log.read_text().count(changed) == 2, 60)
        file.write_text("capture: {mode: full}\nbus: {partitions: 8}\n")
        await eventually(lambda: log.read_text().count("restart needed: bus.partitions") == 2, 60)
        assert metric(up, "agent", "agentsight_config_reload_ok") == 0
        file.write_text("capture: {mode: full}\n")
        await eventually(lambda: metric(up, "agent", "agentsight_config_reload_ok") == 1)
        assert await up.stop() == 0
