"""Every panel shows something when a real Prometheus scrapes a running system."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.etcd_cluster import running_etcd
from agentsight_core.testing.prometheus import Prometheus, running_prometheus
from agentsight_core.testing.running_up import RunningUp, running_up

pytestmark = [pytest.mark.kernel, pytest.mark.server, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
# Of Prometheus, so that a window has enough points on a busy machine.
SCRAPE_S = 2
WINDOWS = {"$__rate_interval": "60s", "$__range": "5m", "$job": ".+", "$instance": ".+"}
PATIENCE_S = 240
# A scenario beside those of the demo: a tool that connects, renames and ends by a signal, one that
# fails, and a request that the server refuses.
COMMAND = (
    "python3 -c 'import socket; socket.socket().connect_ex((\"127.0.0.1\", 9))'; "
    "touch one; mv one two; sleep 5 & kill -TERM $!; exit 3"
)
EFFECTS = {
    "name": "effects",
    "api": "anthropic.messages",
    "model": "claude-sonnet-5",
    "response_model": "claude-sonnet-5",
    "stream": True,
    "system": "You try things.",
    "task": "Do what leaves traces.",
    "steps": [
        {
            "text": "Now.",
            "tool_calls": [
                {"id": "toolu_e1", "name": "run_command", "arguments": {"command": COMMAND}}
            ],
            "usage": {"input": 100, "output": 20, "cache_read": 50},
        },
        {"text": "Done.", "usage": {"input": 150, "output": 5, "cache_read": 100}},
    ],
}
# One whose tool uses a GPU, in the presence of libraries with the ABI of CUDA and NVML.
TESTERS = ROOT / "tests" / "bpf" / "testers"
GPU_LIBRARIES = ("libcuda", "libnvidia-ml")
# A question every 2 s: a rate needs two scrapes while it grows.
GPU_QUESTIONS = 6
# What the server does not know, it answers with status 400.
REFUSED = {**EFFECTS, "name": "refused", "task": "A task that no scenario has.", "steps": []}


def gpu_scenario(folder: Path) -> dict[str, Any]:
    """Return a scenario like EFFECTS whose tool works on a GPU; its libraries are in `folder`."""
    worker = [TESTERS / "gpu_worker.py", folder / "libcuda.so.1", folder / "asked", GPU_QUESTIONS]
    command = shlex.join(map(str, ["python3", *worker]))
    call = {"id": "toolu_g1", "name": "run_command", "arguments": {"command": command}}
    first = {**EFFECTS["steps"][0], "tool_calls": [call]}
    steps = [first, EFFECTS["steps"][1]]
    return {**EFFECTS, "name": "gpu", "task": "Use the GPU.", "steps": steps}


def make_gpu(folder: Path, environment: pytest.MonkeyPatch) -> None:
    """Make a GPU as far as programs and NVML are concerned, for processes that start later."""
    for name in GPU_LIBRARIES:
        options = ["-O2", "-shared", "-fPIC", "-o", folder / f"{name}.so.1"]
        subprocess.run(["gcc", *options, TESTERS / f"{name}.c"], check=True)
    (folder / "asked").touch()
    environment.setenv("LD_LIBRARY_PATH", str(folder))
    environment.setenv("NVML_TEST_ASKED", str(folder / "asked"))


async def has_data(metrics: Prometheus, query: str) -> bool:
    """Whether the query gives at least one number that is one."""
    for name, value in WINDOWS.items():
        query = query.replace(name, value)
    return any(not math.isnan(value) for _, value in await metrics.rows(query))


def prometheus(folder: Path, up: RunningUp) -> contextlib.AbstractAsyncContextManager[Prometheus]:
    """Scrape agent and aggregator as deploy/compose does, and keep exemplars."""
    targets = folder / "targets.json"
    write_targets(targets, up)
    found = [{"files": [str(targets)], "refresh_interval": "1s"}]
    job = {"job_name": "agentsight", "file_sd_configs": found}
    return running_prometheus(folder, job, f"{SCRAPE_S}s", ["--enable-feature=exemplar-storage"])


def write_targets(path: Path, up: RunningUp) -> None:
    ports = [up.telemetry_port(component) for component in ("agent", "aggregator")]
    new = path.with_suffix(".new")
    new.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]))
    new.rename(path)


@contextlib.asynccontextmanager
async def llm_server(folder: Path, scenarios: Path) -> AsyncIterator[dict[str, str]]:
    """Run the demo's server; gives the variables by which SDKs find it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLES / "llm_server.py")),
        *("--scenarios", str(scenarios), "--folder", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        yield {
            **os.environ,
            "ANTHROPIC_BASE_URL": url,
            "OPENAI_BASE_URL": f"{url}/v1",
            "SSL_CERT_FILE": str(folder / "ca.pem"),
            "ANTHROPIC_API_KEY": "not-a-key",
            "OPENAI_API_KEY": "not-a-key",
        }
    finally:
        process.stdin.close()
        await process.wait()


async def run_agent(folder: Path, name: str, jobs: list[Path], environment: dict[str, str]) -> int:
    """Run the demo's agent; return its exit status."""
    work = folder / name
    work.mkdir()
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / "demo_agent.py")),
            *("--log", str(folder / f"{name}.jsonl"), "--folder", str(work)),
            *map(str, jobs),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:  # Nobody waits any more.
                process.kill()
                await process.wait()


def queries() -> dict[tuple[str, str, str], str]:
    """Return every query of Prometheus by dashboard, panel and legend."""
    return {
        (path.stem, panel["title"], target["legendFormat"]): target["expr"]
        for path in sorted(DASHBOARDS.glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        if panel["datasource"]["type"] == "prometheus"
        for target in panel["targets"]
    }


@dataclass(frozen=True, slots=True)
class Work:
    """What the system watches in this test: all that any panel shows, faults too."""

    folder: Path
    known: list[Path]
    effects: Path
    refused: Path
    gpu: Path
    environment: dict[str, str]

    async def go_on(self, up: RunningUp) -> NoReturn:
        """Do all of it again and again: a rate needs a series that was scraped before it grew."""
        await self._lose(up)
        for number in itertools.count():
            folder = self.folder / f"round{number}"
            folder.mkdir()
            await self._once(folder)

    async def _once(self, folder: Path) -> None:
        assert await run_agent(folder, "known", self.known, self.environment) == 0
        await run_agent(folder, "effects", [self.effects], self.environment)
        assert await run_agent(folder, "refused", [self.refused], self.environment) != 0
        assert await run_agent(folder, "gpu-work", [self.gpu], self.environment) == 0

    async def _lose(self, up: RunningUp) -> None:
        """Kill our agent while it watches a session: what it knew of that is told as lost."""
        async with asyncio.TaskGroup() as both:
            work = both.create_task(run_agent(self.folder, "lost", [self.gpu], self.environment))
            await eventually((up.state_dir / "epoch.json").exists, PATIENCE_S)
            await up.kill("agent")
        assert work.result() == 0
        write_targets(self.folder / "targets.json", up)


def prepare_work(folder: Path, jobs: Path) -> dict[str, Any]:
    """Write the scenarios that the server of `jobs` answers, and one that it refuses."""
    demo = sorted((EXAMPLES / "scenarios").glob("*.json"))
    known = [jobs / path.name for path in demo]
    for path, copy in zip(demo, known, strict=True):
        copy.write_bytes(path.read_bytes())
    files = {"effects": jobs / "effects.json", "gpu": jobs / "gpu.json"}
    files["refused"] = folder / "refused.json"
    files["effects"].write_text(json.dumps(EFFECTS))
    files["gpu"].write_text(json.dumps(gpu_scenario(folder / "gpu")))
    files["refused"].write_text(json.dumps(REFUSED))
    return {"known": known, **files}


async def without_data(metrics: Prometheus) -> list[str]:
    """Ask until every panel has shown something; return those that never did."""
    waiting = queries()
    end = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < end:
        for key, query in list(waiting.items()):
            if await has_data(metrics, query):
                del waiting[key]
        await asyncio.sleep(0.5)
    return [" / ".join(key) for key in waiting]


async def test_no_panel_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, jobs = tmp_path / "gpu", tmp_path / "jobs"
    gpu.mkdir()
    jobs.mkdir()
    make_gpu(gpu, monkeypatch)
    files = prepare_work(tmp_path, jobs)
    async with running_etcd(tmp_path / "etcd", 1, tls=True) as etcd:
        tls = etcd.settings.tls
        assert tls is not None
        settings = {
            "COORDINATION_ENDPOINTS": json.dumps(list(etcd.settings.endpoints)),
            "COORDINATION_CA_FILE": str(tls.ca),
            "COORDINATION_CERTIFICATE_FILE": str(tls.certificate),
            "COORDINATION_KEY_FILE": str(tls.key),
        }
        async with (
            running_up(tmp_path, settings) as up,
            llm_server(tmp_path, jobs) as environment,
            prometheus(tmp_path, up) as metrics,
        ):
            work = Work(tmp_path, environment=environment, **files)
            async with asyncio.TaskGroup() as both:
                going = both.create_task(work.go_on(up))
                empty = await without_data(metrics)
                going.cancel()
            marks = await metrics.get(
                "/api/v1/query_exemplars?start=0&end=4000000000"
                "&query=gen_ai_client_inference_duration_seconds_bucket"
            )
    assert empty == []
    found = [item["labels"]["trace_id"] for row in marks for item in row["exemplars"]]
    assert found
    assert all(len(bytes.fromhex(trace_id)) == 16 for trace_id in found)
