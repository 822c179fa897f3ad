"""Which WebSockets carry calls of a model."""

from __future__ import annotations

import pytest
from agentsight_core.endpoints import find_socket

LIVE = "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
VERTEX = "google.cloud.aiplatform.v1.LlmBidiService"


@pytest.mark.parametrize(
    ("authority", "target", "provider", "api", "model"),
    [
        ("api.openai.com", "/v1/realtime?model=gpt-r", "openai", "openai.realtime", "gpt-r"),
        ("api.openai.com:443", "/v1/responses", "openai", "openai.responses", ""),
        ("chatgpt.com", "/backend-api/codex/responses", "openai", "openai.responses", ""),
        (
            "me.openai.azure.com",
            "/openai/realtime?api-version=1&deployment=mine",
            "azure.ai.openai",
            "openai.realtime",
            "mine",
        ),
        ("localhost:8443", "/v1/realtime?model=m", "openai", "openai.realtime", "m"),
        ("generativelanguage.googleapis.com", f"/ws/{LIVE}", "gcp.gemini", "gemini.live", ""),
        (
            "us-central1-aiplatform.googleapis.com",
            f"/ws/{VERTEX}/BidiGenerateContent",
            "gcp.vertex_ai",
            "gemini.live",
            "",
        ),
    ],
)
def test_known_addresses(authority: str, target: str, provider: str, api: str, model: str) -> None:
    endpoint = find_socket(authority, target)
    assert endpoint is not None
    assert (endpoint.provider, endpoint.api, endpoint.model) == (provider, api, model)
    assert endpoint.certain
    assert endpoint.stream is True


@pytest.mark.parametrize("target", ["/", "", "/chat", "/v1/chat/completions", "/socket.io/?EIO=4"])
def test_others(target: str) -> None:
    assert find_socket("example.org", target) is None


def test_an_address_that_others_use_too_proves_nothing() -> None:
    for target in ("/realtime", "/responses"):
        endpoint = find_socket("example.org", target)
        assert endpoint is not None
        assert not endpoint.certain
