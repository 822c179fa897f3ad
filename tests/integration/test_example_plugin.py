"""The example plugin package: installed as any other, listed, part of a running aggregator."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Outgoing
from agentsight_core.bus.generations import Generation, GenerationLog
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.runtime.notes import read_note
from agentsight_core.testing.agent_log import AgentLog
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed into."""
    folder = tmp_path_factory.mktemp("plugin")
    source = folder / "source"
    # Building leaves files beside the source.
    subprocess.run(["cp", "-r", ROOT / "examples" / "plugin", source], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(folder / "site"), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return folder / "site"


def log() -> list[pb.Event]:
    made = AgentLog()
    made.start(1.0)
    for number in range(3):
        made.run(2.0 + number, 2.5 + number, 300 + number, ["ls", "-l"])
    return made.events


def test_its_own_tests_pass(installed: Path) -> None:
    """They use nothing but what a package of somebody else has: ours is installed, and pytest."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=installed.parent / "source",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(installed)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_plugins_ls(installed: Path) -> None:
    environ = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "AGENTSIGHT_PLUGINS_ANALYZERS": "[commands, nonesuch]",
    }
    listed = subprocess.run(
        [sys.executable, "-m", "agentsight_cli", "plugins", "ls", "--json"],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )
    assert listed.returncode == 1, "one that is asked for is not installed"
    rows = json.loads(listed.stdout)["plugins"]
    about = {"package": "agentsight-example-plugin", "version": "1.0", "problem": ""}
    assert {"kind": "analyzer", "name": "commands", "enabled": True, **about} in rows
    assert {"kind": "exporter", "name": "counts", "enabled": False, **about} in rows


@pytest.mark.server
async def test_in_a_running_aggregator(installed: Path, tmp_path: Path) -> None:
    """The analyzer is put in while it runs, by a generation; the exporter is there at once."""
    counts = tmp_path / "counts.json"
    async with running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running:
        process = await start_aggregator(installed, tmp_path, running.server.url, counts)
        try:
            await eventually(lambda: read_note(tmp_path / "state", "aggregator") is not None, 60)
            log_of_config = GenerationLog(running.bus)
            await log_of_config.append(Generation(1, {"plugins": {"analyzers": ["commands"]}}))
            async with asyncio.timeout(60):
                while [one.generation for one in await log_of_config.reports()] != [1]:  # noqa: ASYNC110  # the bus tells by being asked
                    await asyncio.sleep(0.05)
                while not await _is_in_the_log(running.bus):  # noqa: ASYNC110  # as above
                    await asyncio.sleep(0.05)
            await publish(running.bus, log())
            await eventually(lambda: counts.exists() and "edge" in counts.read_text(), 60)
        finally:
            process.terminate()
            assert await process.wait() == 0
        edges = []
        number, pattern = 1, "findings.0.*.edge"
        while message := await running.bus.next(subjects.FINDINGS, number, pattern):
            edges.append(Finding.FromString(message.data).edge.method)
            number = message.sequence + 1
    assert [edge for edge in edges if edge.startswith("repeated")] == [
        "repeated command, 2 times",
        "repeated command, 3 times",
    ]


async def _is_in_the_log(bus) -> bool:
    """Whether the partition's clock has said that the plugin takes part."""
    last = await bus.last(subjects.EVENTS, subjects.tick_subject(0))
    return last is not None and wire.decode_frame(last.data)[1][0].tick.settings.analyzers == [
        "commands"
    ]


async def publish(bus, events: list[pb.Event]) -> None:
    header = pb.FrameHeader(
        agent_id="a",
        epoch_ns=1,
        session=events[0].session,
        seq=1,
        event_count=len(events),
        node="n",
        cluster="default",
    )
    frame = wire.encode_frame(header, wire.encode_events(events))
    await bus.publish(Outgoing(subjects.event_subject(header), frame))


async def start_aggregator(
    installed: Path, folder: Path, url: str, counts: Path
) -> asyncio.subprocess.Process:
    values = {
        "NODE_STATE_DIR": str(folder / "state"),
        "EXPORTERS_PROMETHEUS_PORT": "0",
        "AGGREGATOR_TICK_INTERVAL_MS": "100",
        "BUS_EMBEDDED": "false",
        "BUS_SERVERS": f"[{url}]",
        "BUS_TOKEN_FILE": str(folder / "bus" / "token"),
        "BUS_PARTITIONS": "1",
        "PLUGINS_EXPORTERS": "[counts]",
        "PLUGINS_OPTIONS": json.dumps({"counts.path": str(counts)}),
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentsight_aggregator"),
        env={
            **os.environ,
            "PYTHONPATH": str(installed),
            **{f"AGENTSIGHT_{key}": value for key, value in values.items()},
        },
    )
