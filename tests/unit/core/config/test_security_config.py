from __future__ import annotations

from pathlib import Path

import pytest
from agentsight_aggregator.settings import otlp_settings
from agentsight_core.bus.access import connection_settings
from agentsight_core.config import load_config
from agentsight_core.errors import ConfigError


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"bus.tls.ca_file": "a", "bus.tls.key_file": "k"}, "certificate_file and key_file"),
        (
            {"bus.tls.certificate_file": "c", "bus.tls.key_file": "k"},
            "give ca_file, the authority",
        ),
        ({"security.seal.frames_private_file": "p"}, "give group_file"),
    ],
)
def test_half_a_configuration_is_refused(flags: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(None, {}, flags)


def test_nothing_is_secured_unless_asked_for() -> None:
    settings = connection_settings(load_config(None, {}, {}), "aggregator")
    assert (settings.tls, settings.nkey_seed, settings.inbox_prefix) == (None, "", "")
    assert settings.group_keys is None


def test_whoever_has_an_nkey_receives_under_its_own_name(tmp_path: Path) -> None:
    seed = tmp_path / "nkey"
    seed.write_text("not a seed\n")
    config = load_config(None, {}, {"bus.nkey_file": seed})
    assert connection_settings(config, "aggregator").inbox_prefix == "_INBOX_aggregator"
    agent = connection_settings(config, "agent", node="n1.example")
    assert (agent.inbox_prefix, agent.nkey_seed) == ("_INBOX_node_n1_example", "not a seed")
    assert "not a seed" not in repr(agent)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for key in ("bus.nkey_file", "bus.token_file", "security.seal.group_file"):
        with pytest.raises(ConfigError, match=str(missing)):
            connection_settings(load_config(None, {}, {key: missing}), "aggregator")


def test_otlp_gets_its_certificates() -> None:
    flags = {
        "exporters.otlp.endpoint": "https://collector:4317",
        "exporters.otlp.ca_file": "/ca",
        "exporters.otlp.certificate_file": "/c",
        "exporters.otlp.key_file": "/k",
    }
    settings = otlp_settings(load_config(None, {}, flags))
    found = (settings.ca_file, settings.certificate_file, settings.key_file)
    assert found == (Path("/ca"), Path("/c"), Path("/k"))
