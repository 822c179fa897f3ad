"""The configuration changes while an agent talks: no restart, nothing lost, nothing twice."""

import asyncio
import contextlib
import urllib.request
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import ConnectionSettings, connect
from agentsight_core.bus.generations import GenerationLog
from agentsight_core.errors import ConfigError
from agentsight_core.runtime.config_editing import set_value
from agentsight_core.runtime.notes import read_note
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import llm_tls_server
from agentsight_core.testing.running_up import Caller, RunningUp, caller, own_model, running_up

pytestmark = [pytest.mark.kernel, pytest.mark.server]

MODEL = own_model("model-under-load")
CHANGES = (
    ("capture.mode", "full"),
    ("capture.network", "false"),
    ("capture.files", "false"),
    ("capture.flush_interval_ms", "20"),
    ("sessions.rules", "[{name: nobody, executable: '*/no-such-program'}]"),
    ("spool.max_bytes", "64MiB"),
    ("spool.publish_bytes_per_s", "32MiB"),
    ("capture.limits.files.one_in", "2"),
    ("aggregator.checkpoint_interval_ms", "300"),
    ("aggregator.content", "false"),
    # The exporter is replaced while findings come.
    ("exporters.jsonl.max_files", "9"),
    ("exporters.jsonl.max_files", "8"),
    ("capture.mode", "redacted"),
    ("capture.network", "true"),
    ("plugins.max_failures", "3"),
    ("bus.events_max_age_s", "7200"),
    ("bus.findings_max_bytes", "96MiB"),
)


def settings_of(up: RunningUp) -> ConnectionSettings:
    note = read_note(up.state_dir, "bus")
    assert note is not None
    token = Path(str(note["token_file"])).read_text()
    return ConnectionSettings((str(note["url"]),), "test", token)


@contextlib.asynccontextmanager
async def configuring(up: RunningUp) -> AsyncIterator[GenerationLog]:
    async with connect(settings_of(up)) as bus:
        yield GenerationLog(bus)


async def all_run(log: GenerationLog, generation: int) -> None:
    """Return when agent and aggregator say that they run `generation`."""
    async with asyncio.timeout(60):
        while [one.generation for one in await log.reports()] != [generation] * 2:  # noqa: ASYNC110  # the bus tells by being asked
            await asyncio.sleep(0.05)


async def bounds(up: RunningUp) -> tuple[float, int]:
    """Return the age of EVENTS and the size of FINDINGS."""
    async with connect(settings_of(up)) as bus:
        events = (await bus.stream_state(subjects.EVENTS)).config
        findings = (await bus.stream_state(subjects.FINDINGS)).config
    return events.max_age, findings.max_bytes


def metric(up: RunningUp, component: str, name: str, host: str = "127.0.0.1") -> float:
    url = f"http://{host}:{up.telemetry_port(component)}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


@contextlib.asynccontextmanager
async def calling(agent: Caller) -> AsyncIterator[list[int]]:
    """Call again and again inside of the context; gives the numbers of the calls made."""
    made: list[int] = []
    stop = asyncio.Event()

    async def call_on() -> None:
        while not stop.is_set():
            await agent.call(len(made) + 1)
            made.append(len(made) + 1)
            # The load, some fifty calls a second: a machine that does other things keeps up.
            await asyncio.sleep(0.02)

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
            async with (
                configuring(up) as log,
                caller(server, MODEL) as agent,
                calling(agent) as made,
            ):
                for number, (key, value) in enumerate(CHANGES, start=1):
                    await set_value(log, key, value, "test")
                    await all_run(log, number)
                    await eventually(partial(lambda count: len(made) > count, len(made) + 5))
                assert await bounds(up) == (7200.0, 96 << 20)
                await set_value(log, "exporters.prometheus.host", "127.0.0.2", "test")
                await all_run(log, len(CHANGES) + 1)
                with pytest.raises(ConfigError, match=r"restart needed: bus\.partitions"):
                    await set_value(log, "bus.partitions", 8, "test")
            await eventually(lambda: len(up.calls(MODEL)) >= len(made), 60)
            for component, host in (("agent", "127.0.0.1"), ("aggregator", "127.0.0.2")):
                generation = metric(up, component, "agentsight_config_generation", host)
                assert generation == len(CHANGES) + 1
                assert metric(up, component, "agentsight_config_reload_ok", host) == 1
            assert [up.pid(name) for name in ("agent", "aggregator")] == pids
            assert await up.stop() == 0
        assert up.calls(MODEL) == made
        assert up.losses() == {}


@pytest.mark.timeout(180)
async def test_a_changed_file_is_taken_and_a_bad_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("capture: {mode: redacted}\n")
    log = tmp_path / "up.log"
    async with running_up(tmp_path, {"CONFIG": str(file), "CAPTURE_DISCOVER": "false"}) as up:
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
