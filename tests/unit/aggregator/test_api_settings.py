"""Who has to show what to be answered by the API."""

from __future__ import annotations

from pathlib import Path

import pytest
from agentsight_aggregator.api.server import ApiSettings
from agentsight_aggregator.settings import api_settings
from agentsight_core.config.loading import load_config
from agentsight_core.errors import ConfigError


def settings(tmp_path: Path, **api: object) -> ApiSettings:
    flags = {f"api.{name}": value for name, value in api.items()}
    config = load_config(None, {}, {"node.state_dir": tmp_path / "state", **flags})
    return api_settings(config)


def test_without_client_certificates_a_token_is_asked_for(tmp_path: Path) -> None:
    server = {"certificate_file": "a.pem", "key_file": "a.key"}
    for given in ({}, server, {"ca_file": "ca.pem"}):
        found = settings(tmp_path, **given)
        assert found.token == (tmp_path / "state" / "api.token").read_text()
        assert len(found.token) >= 32
    both = settings(tmp_path, **server, ca_file="ca.pem")
    assert both.tls is not None
    assert (both.token, both.tls.ca) == ("", Path("ca.pem"))


def test_an_address_that_others_reach_needs_tls(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs TLS"):
        settings(tmp_path, host="0.0.0.0")
    settings(tmp_path, host="0.0.0.0", certificate_file="a.pem", key_file="a.key")
