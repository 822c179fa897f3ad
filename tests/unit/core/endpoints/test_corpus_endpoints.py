"""Paths that recorded traffic of real clients has and the vendors' main pages do not show."""

from __future__ import annotations

import pytest
from agentsight_core.endpoints import find_endpoint


@pytest.mark.parametrize(
    ("host", "path", "api", "operation", "certain"),
    [
        ("api.portkey.ai", "/v1/prompts/pp-a-1/completions", "openai.chat", "chat", True),
        ("proxy.example.com", "/v1/prompts/pp-a-1/completions", "openai.chat", "chat", False),
        (
            "us-south.ml.cloud.ibm.com",
            "/ml/v1-beta/generation/text?version=2024-01-01",
            "watsonx.generation",
            "text_completion",
            True,
        ),
        (
            "us-south.ml.cloud.ibm.com",
            "/ml/v1-beta/generation/text_stream",
            "watsonx.generation",
            "text_completion",
            True,
        ),
    ],
)
def test_call(host, path, api, operation, certain):
    endpoint = find_endpoint("POST", host, path)
    assert endpoint is not None
    assert (endpoint.api, endpoint.operation, endpoint.certain) == (api, operation, certain)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("news.example.com", "/generation/text"),
        ("api.portkey.ai", "/v1/prompts/pp-a-1/render"),
        ("api.openai.com", "/v1/responses/input_tokens"),
        ("api.mistral.ai", "/v1/chat/moderations"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "/model/m-1/count-tokens"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "/guardrail/g/version/1/apply"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "/model/cohere.rerank-v3-5:0/invoke"),
        ("generativelanguage.googleapis.com", "/v1beta/models/gemini-9:countTokens"),
    ],
)
def test_no_call(host, path):
    assert find_endpoint("POST", host, path) is None
