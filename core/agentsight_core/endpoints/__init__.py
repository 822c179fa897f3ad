"""Which HTTP requests are calls of a model, told from the request's head alone.

Responsible for naming provider, wire format and operation of a request. Pure and cheap: the agent
asks for each request head it sees. Must not look at bodies; where a head alone proves nothing
(`Endpoint.certain` is false) the reader of the body has the last word.
"""

from __future__ import annotations

from agentsight_core.endpoints.hosts import find_provider, host_of
from agentsight_core.endpoints.paths import find_route
from agentsight_core.endpoints.routes import Endpoint
from agentsight_core.endpoints.sockets import find_socket

__all__ = ["Endpoint", "find_endpoint", "find_socket"]

# Who is meant by a wire format when the host tells nothing: a proxy, a gateway, one's own server.
_PROVIDER_OF_FORMAT = {
    "anthropic": "anthropic",
    "bedrock": "aws.bedrock",
    "cloudflare": "cloudflare",
    "cohere": "cohere",
    "databricks": "databricks",
    "gemini": "gcp.gen_ai",
    "llamacpp": "llama_cpp",
    "ollama": "ollama",
    "openai": "openai",
    "tgi": "hugging_face",
    "watsonx": "ibm.watsonx.ai",
}


def find_endpoint(
    method: str, authority: str, target: str, content_type: str = ""
) -> Endpoint | None:
    """Return what a request asks a model for, or None when it is no call of a model.

    `authority` is the Host header, `target` the path and query as on the wire (or the absolute form
    that proxies get), `content_type` the request's, "" when unknown. Token counting, model lists,
    files, batches and other sub-resources of the same APIs are no calls.
    """
    if method != "POST" or content_type.startswith(("multipart/", "text/html")):
        return None
    authority, path = _split_target(authority, target)
    host = host_of(authority)
    route = find_route(path, host)
    if route is None:
        return None
    provider = find_provider(host, path)
    if not provider and "/deployments/" in path and route.api.startswith("openai."):
        # Azure OpenAI behind a gateway.
        provider = "azure.ai.openai"
    if not provider and authority.endswith(":11434"):
        # Ollama's own port, for its own API and for the compatible ones.
        provider = "ollama"
    return Endpoint(
        provider=provider or _PROVIDER_OF_FORMAT[route.api.partition(".")[0]],
        api=route.api,
        operation=route.operation,
        model=route.model,
        stream=route.stream,
        certain=route.certain or (bool(provider) and not route.shared),
    )


def _split_target(authority: str, target: str) -> tuple[str, str]:
    """Return host and path (without query) of a request target, also in absolute form."""
    if target.startswith(("http://", "https://")):
        authority, _, rest = target.partition("://")[2].partition("/")
        target = "/" + rest
    return authority, target.partition("?")[0].partition("#")[0]
