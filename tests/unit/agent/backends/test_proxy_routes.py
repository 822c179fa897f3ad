"""Which variables lead over the proxy, and where they lead then."""

from __future__ import annotations

import pytest
from agentsight_agent.backends.proxy.routes import Upstream, find_routes
from agentsight_core.errors import ConfigError


def test_without_settings_the_vendors_are_meant() -> None:
    routes = find_routes({})
    assert routes["ANTHROPIC_BASE_URL"] == Upstream("api.anthropic.com", 443, is_tls=True)
    assert routes["OPENAI_BASE_URL"] == Upstream("api.openai.com", 443, is_tls=True, path="/v1")
    assert "AZURE_OPENAI_ENDPOINT" not in routes
    assert "AWS_ENDPOINT_URL_BEDROCK_RUNTIME" not in routes


def test_what_is_set_stays_the_aim() -> None:
    routes = find_routes({"OPENAI_BASE_URL": "http://[::1]:8000/api/v1/"})
    assert routes["OPENAI_BASE_URL"] == Upstream("::1", 8000, is_tls=False, path="/api/v1")
    assert routes["OPENAI_BASE_URL"].authority == "[::1]:8000"


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        ("", "127.0.0.1", 11434),
        ("models.test", "models.test", 11434),
        ("0.0.0.0:1234", "127.0.0.1", 1234),
        ("http://models.test", "models.test", 80),
    ],
)
def test_ollama_may_lack_scheme_and_port(value: str, host: str, port: int) -> None:
    assert find_routes({"OLLAMA_HOST": value})["OLLAMA_HOST"] == Upstream(host, port, is_tls=False)


def test_bedrock_needs_a_token_as_its_signatures_name_the_host() -> None:
    environment = {"AWS_BEARER_TOKEN_BEDROCK": "not-a-token", "AWS_REGION": "eu-west-1"}
    found = find_routes(environment)["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
    assert found.authority == "bedrock-runtime.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("value", ["ftp://x", "api.test", "https://", "https://x:y", "https://x?a"])
def test_what_is_no_url_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL"):
        find_routes({"OPENAI_BASE_URL": value})
