"""List prices: known models, cached tokens, and what has no price."""

from __future__ import annotations

import pytest
from agentsight_aggregator.call import Usage
from agentsight_aggregator.prices import cost_usd

NOW_NS = 1_767_600_000 * 10**9
USAGE = Usage(input_tokens=1_000_000, output_tokens=1_000_000)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-sonnet-4-20250514"),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
        ("gcp.vertex_ai", "claude-sonnet-4@20250514"),
        ("gcp.gemini", "gemini-2.5-flash"),
        ("azure.ai.openai", "gpt-4o"),
        ("mistral_ai", "mistral-large-latest"),
        ("x_ai", "grok-3"),
    ],
)
def test_known_models_have_a_price(provider, model):
    cost = cost_usd(provider, (model,), USAGE, NOW_NS)
    assert cost is not None
    assert 0 < cost < 200


def test_cached_input_is_cheaper():
    full = cost_usd("anthropic", ("claude-sonnet-4-20250514",), USAGE, NOW_NS)
    cached = Usage(input_tokens=1_000_000, output_tokens=1_000_000, cache_read_tokens=900_000)
    assert cost_usd("anthropic", ("claude-sonnet-4-20250514",), cached, NOW_NS) < full


def test_the_model_asked_for_stands_in_for_an_unknown_answer():
    assert cost_usd("openai", ("ft:unheard-of", "gpt-4o"), USAGE, NOW_NS) is not None


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "unheard-of", USAGE),
        ("unheard-of", "gpt-4o", USAGE),
        ("openai", "gpt-4o", Usage()),
        ("openai", "", USAGE),
        ("ollama", "gpt-oss:20b", USAGE),
        # Counts that contradict each other.
        ("openai", "gpt-4o", Usage(input_tokens=1, cache_read_tokens=5)),
    ],
)
def test_no_price(provider, model, usage):
    assert cost_usd(provider, (model,), usage, NOW_NS) is None
