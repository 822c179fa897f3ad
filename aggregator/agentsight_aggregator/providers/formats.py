"""The table from wire format to its readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from agentsight_core.endpoints import Endpoint

from agentsight_aggregator.providers import (
    anthropic,
    anthropic_complete,
    bedrock,
    bedrock_invoke,
    cohere,
    embeddings,
    gemini,
    interactions,
    ollama,
    openai_chat,
    openai_realtime,
    openai_responses,
    prompts,
    workers_ai,
)
from agentsight_aggregator.providers.drafts import WireFormat
from agentsight_aggregator.providers.payload import text

_PICTURES = re.compile(r"diffusion|flux|dreamshaper|lucid|phoenix|img")


def refine(endpoint: Endpoint, request: dict[str, object]) -> Endpoint | None:
    """Return what a request to an endpoint of many formats is; None when it is no call of a model.

    On Bedrock an ARN does not tell which model it stands for.
    """
    if endpoint.api == "cloudflare.run":
        return _refine_cloudflare(endpoint, request)
    if endpoint.api == "databricks.invocations":
        return _refine_databricks(endpoint, request)
    if endpoint.api == "bedrock.invoke" and endpoint.model.startswith("arn:") and _embeds(request):
        return replace(endpoint, operation="embeddings")
    return endpoint


def _refine_cloudflare(endpoint: Endpoint, request: dict[str, object]) -> Endpoint | None:
    """Workers AI runs models of every kind under one path; pictures have a prompt too."""
    if "messages" in request:
        return endpoint
    if "prompt" in request and not _PICTURES.search(endpoint.model):
        return replace(endpoint, operation="text_completion")
    return replace(endpoint, operation="embeddings") if "text" in request else None


def _refine_databricks(endpoint: Endpoint, request: dict[str, object]) -> Endpoint | None:
    """Databricks serves chat, completions, embeddings, agents and classic models under one path."""
    given = request.get("input")
    if "messages" in request:
        return replace(endpoint, api="openai.chat")
    if "prompt" in request:
        return replace(endpoint, api="openai.completions", operation="text_completion")
    if isinstance(given, list) and given and isinstance(given[0], dict):
        return replace(endpoint, api="openai.responses")
    if given:
        return replace(endpoint, api="openai.embeddings", operation="embeddings")
    return None


def _embeds(request: dict[str, object]) -> bool:
    """Whether a body of InvokeModel is one of an embedding model: Cohere, Titan, Nova."""
    if "texts" in request or "input_type" in request:
        return True
    titan = "inputText" in request and "textGenerationConfig" not in request
    return titan or "EMBEDDING" in text(request.get("taskType"))


def _always(wire: WireFormat) -> Callable[[Endpoint], WireFormat]:
    return lambda _endpoint: wire


# `Endpoint.api` → its readers; for Bedrock invoke the model in the path decides on the format.
FORMATS: dict[str, Callable[[Endpoint], WireFormat]] = {
    "anthropic.complete": _always(anthropic_complete.COMPLETE),
    "anthropic.messages": _always(anthropic.MESSAGES),
    "bedrock.converse": _always(bedrock.CONVERSE),
    "bedrock.invoke": bedrock_invoke.choose_format,
    "databricks.invocations": _always(openai_chat.CHAT),
    "cloudflare.run": _always(workers_ai.RUN),
    "cohere.chat": _always(cohere.CHAT),
    "cohere.chat_v1": _always(cohere.CHAT_V1),
    "cohere.embed": _always(embeddings.COHERE),
    "cohere.generate": _always(cohere.CHAT_V1),
    "gemini.embed": _always(embeddings.GOOGLE),
    "gemini.generate": _always(gemini.GENERATE),
    "gemini.interactions": _always(interactions.INTERACTIONS),
    "gemini.live": _always(gemini.GENERATE),
    "gemini.predict": _always(embeddings.GOOGLE),
    "llamacpp.completion": _always(prompts.PROMPT),
    "ollama.chat": _always(ollama.CHAT),
    "ollama.embed": _always(embeddings.OLLAMA),
    "ollama.generate": _always(ollama.CHAT),
    "openai.chat": _always(openai_chat.CHAT),
    "openai.completions": _always(openai_chat.COMPLETIONS),
    "openai.embeddings": _always(embeddings.EMBEDDINGS),
    "openai.realtime": _always(openai_realtime.REALTIME),
    "openai.responses": _always(openai_responses.RESPONSES),
    "tgi.generate": _always(prompts.PROMPT),
    "watsonx.embeddings": _always(embeddings.EMBEDDINGS),
    "watsonx.generation": _always(prompts.PROMPT),
}
