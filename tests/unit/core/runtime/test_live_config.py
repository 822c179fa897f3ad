"""A process keeps the last good configuration, whatever its file says."""

from pathlib import Path

import pytest
from agentsight_core.bus.generations import Generation
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.runtime.live_config import ConfigCollector, LiveConfig


class Part:
    """Takes configurations, but none of the mode full."""

    def __init__(self) -> None:
        self.modes: list[str] = []

    async def apply(self, config: AgentSightConfig) -> None:
        self.modes.append(config.capture.mode)
        if config.capture.mode == "full":
            raise ConfigError("this node must not")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"node: {{state_dir: {tmp_path}}}\ncapture: {{mode: metadata}}\n")
    return path


@pytest.fixture
def part() -> Part:
    return Part()


@pytest.fixture
def live(file: Path, part: Part) -> LiveConfig:
    found = LiveConfig("agent", file, {})
    found.serve(part.apply)
    return found


def write(file: Path, text: str) -> None:
    file.write_text(f"node: {{state_dir: {file.parent}}}\n{text}\n")


async def change(live: LiveConfig, file: Path, text: str) -> None:
    write(file, text)
    for _ in range(2):
        await live.look_at_file()


def metrics(live: LiveConfig) -> dict[str, float]:
    return {
        sample.name: sample.value
        for metric in ConfigCollector(live).collect()
        for sample in metric.samples
    }


async def test_a_good_file_is_applied_once(live: LiveConfig, part: Part, file: Path) -> None:
    await change(live, file, "capture: {mode: none}")
    await live.look_at_file()
    assert part.modes == ["none"]
    assert live.config.capture.mode == "none"
    assert metrics(live)["agentsight_config_reload_ok"] == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("capture: {mode: al}", "config.yaml:2: capture.mode: 'al' is wrong: allowed: 'none'"),
        ("capture: {mode: none}\nbus: {partitions: 9}", "restart needed: bus.partitions"),
        ("capture: [", "is no YAML"),
        ("capture: {mode: full}", "this node must not"),
    ],
)
async def test_a_bad_file_is_refused_as_a_whole(
    live: LiveConfig, part: Part, file: Path, text: str, problem: str
) -> None:
    await change(live, file, text)
    assert problem in live.problems[0]
    assert live.config.capture.mode == "metadata"
    assert part.modes in ([], ["full", "metadata"]), "a part that refuses is set back"
    assert metrics(live)["agentsight_config_reload_ok"] == 0
    await change(live, file, "capture: {mode: none}")
    assert (live.problems, live.config.capture.mode) == ([], "none")


async def test_a_generation_lies_over_the_last_good_file(live: LiveConfig, file: Path) -> None:
    await change(live, file, "capture: {mode: al}")
    await live.offer(Generation(4, {"capture": {"files": False}}))
    assert (live.config.capture.mode, live.config.capture.files) == ("metadata", False)
    assert live.report().ok is False, "the file is still bad"
    assert metrics(live)["agentsight_config_generation"] == 4


async def test_a_refused_generation_is_tried_again_with_another_file(
    live: LiveConfig, file: Path
) -> None:
    generation = Generation(1, {"exporters": {"otlp": {"protocol": "htp"}}})
    await live.offer(generation)
    assert live.problems
    await change(live, file, "capture: {mode: none}")
    await live.offer(generation)
    assert live.problems
    await live.offer(Generation(2))
    assert (live.problems, live.generation) == ([], 2)


async def test_what_was_applied_is_there_after_a_restart(live: LiveConfig, file: Path) -> None:
    await live.offer(Generation(7, {"capture": {"mode": "none"}}))
    again = LiveConfig("agent", file, {})
    assert (again.generation, again.config.capture.mode) == (7, "none")
    (file.parent / "agent-generation.json").write_text("{")
    damaged = LiveConfig("agent", file, {})
    assert (damaged.generation, damaged.config.capture.mode) == (0, "metadata")
    assert damaged.problems


async def test_what_only_the_moment_forbids_is_tried_again(file: Path) -> None:
    refusals = [Retryable("the bus does not answer")] * 2

    async def apply(config: AgentSightConfig) -> None:
        if config.capture.mode != "metadata" and refusals:
            raise refusals.pop()

    live = LiveConfig("agent", file, {})
    live.serve(apply)
    await live.offer(Generation(1, {"capture": {"mode": "none"}}))
    assert live.problems == ["the bus does not answer"]
    await change(live, file, "capture: {mode: redacted}")
    assert live.config.capture.mode == "metadata"
    await live.look_at_file()
    await live.offer(Generation(1, {"capture": {"mode": "none"}}))
    assert (live.config.capture.mode, live.generation, live.problems) == ("none", 1, [])
