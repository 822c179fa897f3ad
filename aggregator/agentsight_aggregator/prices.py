"""What a call costs by list price, from the data of the genai-prices package.

Must not reach the network: the package's data is the one it was released with.
"""

from __future__ import annotations

from datetime import UTC, datetime

from agentsight_aggregator.call import Usage

# gen_ai.provider.name → provider of genai-prices, where the names differ.
_PROVIDER_IDS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "github": "github-copilot",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "voyage_ai": "voyageai",
    "x_ai": "x-ai",
    "zhipu_ai": "zai",
}
# Run on one's own machine: no list price, whatever the model is called.
_FREE = frozenset({"ollama", "llama_cpp"})


def cost_usd(provider: str, models: tuple[str, ...], usage: Usage, start_ns: int) -> float | None:
    """Return the list price in USD of a call at `start_ns`; None when no price is known.

    `provider` is gen_ai.provider.name. `models` are tried in order: the model that answered, then
    the one that was asked for. None too when the answer did not say how many tokens there were.
    """
    if provider in _FREE or (usage.input_tokens is None and usage.output_tokens is None):
        return None
    provider_id = _PROVIDER_IDS.get(provider, provider)
    for model in models:
        price = _list_price(provider_id, model, usage, start_ns) if model else None
        if price is not None:
            return price
    return None


def _list_price(provider_id: str, model: str, usage: Usage, start_ns: int) -> float | None:
    # Its data takes tens of milliseconds to load: only those pay for it who ask for a price.
    from genai_prices import Usage as PricedUsage  # noqa: PLC0415 - lazy, see above
    from genai_prices import calc_price  # noqa: PLC0415 - lazy, see above

    counts = PricedUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    moment = datetime.fromtimestamp(start_ns // 10**9, tz=UTC)
    try:
        price = calc_price(counts, model, provider_id=provider_id, genai_request_timestamp=moment)
    except (LookupError, ValueError):
        # An unknown provider or model; counts that contradict each other.
        return None
    return float(price.total_price)
