import pytest
from agentsight_core.config import keys
from agentsight_core.config.live import (
    LIVE,
    changed_keys,
    problems_of_generation,
    restart_keys,
    value_of,
    with_value,
)
from agentsight_core.config.loading import merge_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.config.yaml_file import YamlFile
from agentsight_core.errors import ConfigError


def test_every_live_key_exists() -> None:
    assert {key.text for key in keys.all_keys()} >= LIVE


def test_changed_keys_are_values_not_sections() -> None:
    new = AgentSightConfig.model_validate(
        {"bus": {"partitions": 8}, "capture": {"mode": "none"}, "sessions": {"rules": []}}
    )
    changed = changed_keys(AgentSightConfig(), new)
    assert changed == ["capture.mode", "bus.partitions"]
    assert restart_keys(changed) == ["bus.partitions"]


def test_setting_and_taking_out_leaves_nothing_behind() -> None:
    values = with_value({}, "exporters.otlp.endpoint", "http://127.0.0.1:4317")
    values = with_value(values, "sessions.rules", "[{name: a, user: root}]")
    assert values == {
        "exporters": {"otlp": {"endpoint": "http://127.0.0.1:4317"}},
        "sessions": {"rules": [{"name": "a", "user": "root"}]},
    }
    values = with_value(values, "exporters.otlp.endpoint", None)
    assert with_value(values, "sessions.rules", None) == {}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("bus.partitions", "restart needed: bus.partitions"),
        ("capture.moed", "did you mean capture.mode"),
        ("capture", "is no known key"),
        ("exporters.otlp.headers", "may hold credentials"),
    ],
)
def test_what_a_generation_must_not_hold_is_refused(key: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        with_value({}, key, "1")


def test_all_problems_of_a_generation_are_said_at_once() -> None:
    values = {"capture": {"mode": "al", "moed": 1}, "logging": {"level": "loud"}}
    problems = problems_of_generation(values, "generation 3")
    assert len(problems) == 3
    assert all(line.startswith("generation 3: ") for line in problems)
    assert problems_of_generation({"bus": {"partitions": 9}}, "g")[0].startswith("restart needed")


def test_order_of_precedence() -> None:
    file = YamlFile("file", {"capture": {"mode": "none", "files": False}, "logging": None})
    generation = YamlFile("generation 1", {"capture": {"mode": "full", "network": False}})
    config = merge_config(file, {"AGENTSIGHT_CAPTURE_NETWORK": "true"}, {}, generation)
    assert (config.capture.mode, config.capture.files, config.capture.network) == (
        "full",
        False,
        True,
    )


def test_value_of_key_and_section() -> None:
    config = AgentSightConfig()
    assert value_of(config, "capture.mode") == "redacted"
    assert value_of(config, "exporters.jsonl") == {
        "path": None,
        "max_bytes": 256 << 20,
        "max_files": 5,
    }
    with pytest.raises(ConfigError, match="no known key"):
        value_of(config, "capture.mode.x")
