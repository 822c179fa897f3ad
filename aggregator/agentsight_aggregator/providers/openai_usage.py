"""Token counts of the OpenAI shape, in the variants that compatible hosts make of it.

https://platform.openai.com/docs/api-reference/chat/object (usage)
"""

from __future__ import annotations

from agentsight_aggregator.call import Usage
from agentsight_aggregator.providers.payload import count, record

_PERPLEXITY = frozenset({"num_search_queries", "citation_tokens"})


def read_usage(value: object, model: str = "") -> Usage:
    """Return the counts of a `usage` object; None for what it does not say.

    `model` matters for Gemini alone: Google's compatible API counts thoughts in the total only.
    """
    usage = record(value)
    details = record(
        usage.get("prompt_tokens_details")
        or usage.get("input_tokens_details")
        or usage.get("input_token_details")  # Realtime
    )
    written = record(
        usage.get("completion_tokens_details")
        or usage.get("output_tokens_details")
        or usage.get("output_token_details")
    )
    input_tokens = _first(usage, "prompt_tokens", "input_tokens")
    reasoning = _first(written, "reasoning_tokens")
    if reasoning is None:
        reasoning = _first(usage, "reasoning_tokens")
    if reasoning is None and "gemini" in model:
        reasoning = _hidden_reasoning(usage, input_tokens)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=_output_tokens(usage, input_tokens, reasoning),
        cache_read_tokens=_cache_read(usage, details),
        cache_write_tokens=_first(details, "cache_write_tokens", "cache_creation_tokens"),
        reasoning_tokens=reasoning,
    )


def _hidden_reasoning(usage: dict[str, object], input_tokens: int | None) -> int | None:
    whole, output = count(usage.get("total_tokens")), _first(usage, "completion_tokens")
    if whole is None or output is None or input_tokens is None:
        return None
    return max(whole - input_tokens - output, 0) or None


def _first(fields: dict[str, object], *keys: str) -> int | None:
    for key in keys:
        value = count(fields.get(key))
        if value is not None:
            return value
    return None


def _cache_read(usage: dict[str, object], details: dict[str, object]) -> int | None:
    cached = _first(details, "cached_tokens", "cache_read_tokens")
    if cached is not None:
        return cached
    # DeepSeek; Moonshot; Mistral; Databricks
    return _first(
        usage,
        "prompt_cache_hit_tokens",
        "cached_tokens",
        "num_cached_tokens",
        "cache_read_input_tokens",
    )


def _output_tokens(
    usage: dict[str, object], input_tokens: int | None, reasoning: int | None
) -> int | None:
    """OpenAI counts reasoning in completion_tokens; x.ai and Perplexity count it beside them.

    The sum tells which: prompt + completion + reasoning = total. Perplexity and Vercel leave
    reasoning out of the sum, but they alone count searches and tell a market_cost. More reasoning
    than completion is said to be within it by OpenRouter, which estimates it: its sum holds.
    """
    output = _first(usage, "completion_tokens", "output_tokens")
    if output is None or not reasoning:
        return output
    whole = count(usage.get("total_tokens"))
    visible = (input_tokens or 0) + output
    apart = whole == visible + reasoning or (reasoning > output and whole != visible)
    by_name = not _PERPLEXITY.isdisjoint(usage) or ("market_cost" in usage and reasoning > output)
    return output + reasoning if apart or by_name else output
