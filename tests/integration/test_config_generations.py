"""Generations of the configuration on a real bus, and processes that follow them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_core.bus.generations import NOTHING_SET, Generation, GenerationLog, Outdated
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.runtime.live_config import LiveConfig
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.conditions import eventually

pytestmark = pytest.mark.server


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningBus]:
    async with running_bus(tmp_path / "bus", BusSettings(partitions=1)) as bus:
        yield bus


def generation(number: int, mode: str) -> Generation:
    return Generation(number, {"capture": {"mode": mode}})


async def test_only_one_of_two_writers_gets_the_number(running: RunningBus) -> None:
    log = GenerationLog(running.bus)
    assert await log.last() == NOTHING_SET
    written = await asyncio.gather(
        *(log.append(generation(1, mode)) for mode in ("none", "full")), return_exceptions=True
    )
    assert [type(one) for one in written].count(Outdated) == 1
    assert (await log.last()).number == 1
    with pytest.raises(Outdated):
        await log.append(generation(3, "none"))


async def test_history_is_kept_in_order(running: RunningBus) -> None:
    log = GenerationLog(running.bus)
    for number in range(1, 71):
        await log.append(generation(number, "none"))
    assert [one.number for one in await log.history()] == list(range(7, 71))
    assert (await log.last()).number == 70


async def nothing(config: AgentSightConfig) -> None:
    """Apply nothing."""


@contextlib.asynccontextmanager
async def following(live: LiveConfig, running: RunningBus) -> AsyncIterator[None]:
    task = asyncio.create_task(live.watch_bus(running.bus, poll_s=0.02))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def member(folder: Path, name: str, **environ: str) -> LiveConfig:
    folder.mkdir(exist_ok=True)
    environ |= {"AGENTSIGHT_NODE_STATE_DIR": str(folder), "AGENTSIGHT_NODE_NAME": name}
    return LiveConfig("agent", None, environ)


async def test_members_take_a_generation_and_say_so(running: RunningBus, tmp_path: Path) -> None:
    log = GenerationLog(running.bus)
    one = member(tmp_path / "one", "one")
    two = member(tmp_path / "two", "two", AGENTSIGHT_CAPTURE_MODE="metadata")
    applied: list[str] = []

    async def apply(config: AgentSightConfig) -> None:
        applied.append(config.capture.mode)

    one.serve(apply)
    two.serve(nothing)
    async with following(one, running), following(two, running):
        await log.append(generation(1, "none"))
        await eventually(lambda: (one.generation, two.generation) == (1, 1))
        async with asyncio.timeout(30):
            while [report.generation for report in await log.reports()] != [1, 1]:  # noqa: ASYNC110  # the bus tells by being asked
                await asyncio.sleep(0.02)
    assert applied == ["none"]
    assert [report.pinned for report in await log.reports()] == [[], ["capture.mode"]]
    assert (one.config.capture.mode, two.config.capture.mode) == ("none", "metadata")
    # The bus may be away at the next start.
    assert member(tmp_path / "one", "one").config.capture.mode == "none"


async def test_a_bad_generation_is_refused_and_the_next_good_one_taken(
    running: RunningBus, tmp_path: Path
) -> None:
    log = GenerationLog(running.bus)
    live = member(tmp_path / "one", "one")
    live.serve(nothing)
    async with following(live, running):
        await log.append(generation(1, "metadata"))
        await log.append(Generation(2, {"capture": {"mode": "al"}, "bus": {"partitions": 8}}))
        await eventually(lambda: bool(live.problems))
        assert live.config.capture.mode in ("metadata", "redacted")
        report = live.report()
        assert (report.ok, report.offered) == (False, 2)
        assert "generation 2: capture.mode: 'al' is wrong: allowed:" in report.problems[0]
        await log.append(Generation(3, {"bus": {"partitions": 8}}))
        await eventually(lambda: live.problems == ["restart needed: bus.partitions"])
        await log.append(generation(4, "none"))
        await eventually(lambda: live.generation == 4)
    assert (live.problems, live.config.capture.mode) == ([], "none")
