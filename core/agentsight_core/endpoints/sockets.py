"""Which WebSockets carry calls of a model, told from the request's head alone.

https://developers.openai.com/api/docs/guides/realtime-websocket,
https://developers.openai.com/api/reference/resources/responses/websocket-events,
https://ai.google.dev/api/live. Must not look at messages.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from agentsight_core.endpoints.hosts import find_provider, host_of
from agentsight_core.endpoints.paths import find_route
from agentsight_core.endpoints.routes import Endpoint

_LIVE_ENDING = "BidiGenerateContent"
_LIVE_SERVICES = ("google.ai.generativelanguage.", "google.cloud.aiplatform.")


def find_socket(authority: str, target: str) -> Endpoint | None:
    """Return what the messages of a WebSocket to `target` are, or None when they are no calls.

    `authority` is the Host header, `target` path and query. An `Endpoint.model` is the one that the
    address names, "" when the messages have it.
    """
    path, _, query = target.partition("?")
    host = host_of(authority)
    provider = find_provider(host, path)
    segments = [segment for segment in path.split("/") if segment]
    last = segments[-1] if segments else ""
    if last == "realtime":
        named = parse_qs(query)
        model = (named.get("model") or named.get("deployment") or [""])[0]
        certain = bool(provider or model)
        return Endpoint(provider or "openai", "openai.realtime", "chat", model, True, certain)
    if last.endswith(_LIVE_ENDING) and any(s.startswith(_LIVE_SERVICES) for s in segments):
        return Endpoint(provider or "gcp.gen_ai", "gemini.live", "generate_content", "", True)
    route = find_route(path, host)
    if route is None or route.api != "openai.responses" or last != "responses":
        return None
    certain = bool(provider)
    return Endpoint(provider or "openai", route.api, route.operation, "", True, certain)
