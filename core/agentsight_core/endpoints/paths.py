"""From the path of a request to a wire format.

A path is judged by its end, because every gateway, proxy and compatible host puts its own prefix
before the same last segments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from agentsight_core.endpoints.google_paths import find_google_route
from agentsight_core.endpoints.routes import Route

_VERSION = re.compile(r"v\d+[a-z0-9.]*|beta|openai|api|inference|compatible-mode|compat|models")
_COHERE_HOST = re.compile(r"(^|\.)cohere\.(com|ai)$")


def find_route(path: str, host: str) -> Route | None:
    """Return the route that `path` (no query) is on, or None; `host` is lower case without port."""
    segments = [segment for segment in path.split("/") if segment]
    if not segments:
        return None
    last = segments[-1]
    if ":" in last or "%3A" in last or "%3a" in last:
        return find_google_route(segments, unquote(last))
    for find in (_by_last.get(last), _by_middle):
        route = find(segments, host) if find else None
        if route is not None:
            return route
    return None


# ---- by the last segment ----


def _before(segments: list[str], distance: int = 1) -> str:
    index = len(segments) - 1 - distance
    return segments[index] if index >= 0 else ""


def _is_base(segment: str) -> bool:
    """Whether `segment` may stand before a resource: a version, a product, or nothing."""
    return not segment or _VERSION.fullmatch(segment) is not None


def _deployment(segments: list[str]) -> str:
    """Return the model of /deployments/{model}/… (Azure) and /engines/{model}/… (old OpenAI).

    Cloudflare's gateway has Azure's as /azure-openai/{resource}/{model}/….
    """
    for marker, distance in (("deployments", 1), ("engines", 1), ("azure-openai", 2)):
        if marker in segments[: -1 - distance]:
            return unquote(segments[segments.index(marker) + distance])
    return ""


def _completions(segments: list[str], _host: str) -> Route | None:
    before = _before(segments)
    if before == "chat":
        return Route("openai.chat", "chat", _deployment(segments))
    if before == "fim":
        return Route("openai.completions", "text_completion")
    if before == "agents":
        return Route("openai.chat", "chat")
    if _before(segments, 2) == "prompts":
        # Portkey: /prompts/{id}/completions, with messages and model in the stored prompt
        return Route("openai.chat", "chat", certain=False)
    model = _deployment(segments)
    if model or _is_base(before):
        return Route("openai.completions", "text_completion", model, certain=bool(model))
    return None


def _embeddings(segments: list[str], _host: str) -> Route | None:
    before = _before(segments)
    if before == "text" and "ml" in segments:
        return Route("watsonx.embeddings", "embeddings")
    if before == "api":
        return Route("ollama.embed", "embeddings", certain=False)
    model = _deployment(segments)
    if model or _is_base(before):
        return Route("openai.embeddings", "embeddings", model, certain=bool(model))
    return None


def _messages(segments: list[str], _host: str) -> Route | None:
    before = _before(segments)
    if before in {"v1", "anthropic"}:
        return Route("anthropic.messages", "chat", certain="anthropic" in segments)
    return None


def _responses(segments: list[str], _host: str) -> Route | None:
    before = _before(segments)
    if _is_base(before) or before == "codex":
        return Route("openai.responses", "chat", certain=False)
    return None


def _compact(segments: list[str], host: str) -> Route | None:
    return _responses(segments[:-1], host) if _before(segments) == "responses" else None


def _chat(segments: list[str], host: str) -> Route | None:
    before = _before(segments)
    if before == "api":
        return Route("ollama.chat", "chat", certain=False)
    if before == "text" and "ml" in segments:
        return Route("openai.chat", "chat", stream=False)
    if before == "v2":
        return Route("cohere.chat", "chat", certain=False)
    if before == "v1":
        writer = host.endswith("writer.com")
        return Route("openai.chat" if writer else "cohere.chat_v1", "chat", certain=False)
    return None


def _generate(segments: list[str], host: str) -> Route | None:
    before = _before(segments)
    if before == "api":
        return Route("ollama.generate", "text_completion", certain=False)
    if before == "v1" and _COHERE_HOST.search(host):
        return Route("cohere.generate", "text_completion")
    if not before:
        return Route("tgi.generate", "text_completion", stream=False, certain=False)
    return None


def _embed(segments: list[str], _host: str) -> Route | None:
    before = _before(segments)
    if before == "api":
        return Route("ollama.embed", "embeddings", certain=False)
    if before in {"v1", "v2"}:
        return Route("cohere.embed", "embeddings", certain=False)
    return None


def _bedrock(api: str, *, stream: bool) -> Callable[[list[str], str], Route | None]:
    def find(segments: list[str], _host: str) -> Route | None:
        if "model" not in segments[:-2]:
            return None
        # An ARN holds slashes; some recorders write them decoded.
        model = unquote("/".join(segments[segments.index("model") + 1 : -1]))
        return _bedrock_route(api, model, stream)

    return find


# Models that answer with pictures, videos or rankings.
_NO_TEXT = re.compile(
    r"stability\.|titan-image|nova-(canvas|reel|sonic)|rerank|luma\.|twelvelabs\.pegasus"
)
_EMBEDDING = re.compile(r"embed|marengo")


def _bedrock_route(api: str, model: str, stream: bool) -> Route | None:
    if api == "bedrock.invoke" and _NO_TEXT.search(model):
        return None
    if _EMBEDDING.search(model):
        return Route(api, "embeddings", model, stream)
    # OTel's botocore instrumentation: Titan's interface is a text completion one.
    titan = api == "bedrock.invoke" and "amazon.titan" in model
    return Route(api, "text_completion" if titan else "chat", model, stream)


def _watsonx(
    api: str, operation: str, *, stream: bool, before: str = "text"
) -> Callable[[list[str], str], Route | None]:
    def find(segments: list[str], _host: str) -> Route | None:
        if _before(segments) == before and "ml" in segments:
            return Route(api, operation, stream=stream)
        return None

    return find


def _interactions(segments: list[str], host: str) -> Route | None:
    if host.endswith("googleapis.com") or _before(segments) in {"v1", "v1beta"}:
        return Route("gemini.interactions", "chat", certain=False)
    return None


def _fixed(route: Route, before: str) -> Callable[[list[str], str], Route | None]:
    def find(segments: list[str], _host: str) -> Route | None:
        return route if _before(segments) == before else None

    return find


_by_last: dict[str, Callable[[list[str], str], Route | None]] = {
    "chat": _chat,
    "chat_stream": _watsonx("openai.chat", "chat", stream=True),
    "chatcompletion_v2": _fixed(Route("openai.chat", "chat"), "text"),
    "compact": _compact,
    "complete": _fixed(Route("anthropic.complete", "text_completion", certain=False), "v1"),
    "completion": _fixed(Route("llamacpp.completion", "text_completion", certain=False), ""),
    "completions": _completions,
    "converse": _bedrock("bedrock.converse", stream=False),
    "converse-stream": _bedrock("bedrock.converse", stream=True),
    "embed": _embed,
    "embeddings": _embeddings,
    "generate": _generate,
    "generate_stream": _fixed(
        Route("tgi.generate", "text_completion", stream=True, certain=False), ""
    ),
    "generation": _watsonx("watsonx.generation", "text_completion", stream=False),
    "generation_stream": _watsonx("watsonx.generation", "text_completion", stream=True),
    "infill": _fixed(Route("llamacpp.completion", "text_completion", certain=False), ""),
    "interactions": _interactions,
    "invoke": _bedrock("bedrock.invoke", stream=False),
    "invoke-with-response-stream": _bedrock("bedrock.invoke", stream=True),
    "messages": _messages,
    "responses": _responses,
    # watsonx before version 1
    "text": _watsonx("watsonx.generation", "text_completion", stream=False, before="generation"),
    "text_stream": _watsonx(
        "watsonx.generation", "text_completion", stream=True, before="generation"
    ),
}


def _by_middle(segments: list[str], host: str) -> Route | None:
    """Paths whose last segment is a name: Databricks' endpoints, Cloudflare's models."""
    if len(segments) > 2 and segments[-1] == "invocations" and segments[-3] == "serving-endpoints":
        model = unquote(segments[-2])
        return Route("databricks.invocations", "chat", model, certain=False, shared=True)
    decoded = [unquote(segment) for segment in segments]
    start = next((i for i, name in enumerate(decoded) if name.startswith(("@cf", "@hf"))), 0)
    if start and host.endswith("cloudflare.com"):
        return Route(
            "cloudflare.run", "chat", "/".join(decoded[start:]), certain=False, shared=True
        )
    return None
