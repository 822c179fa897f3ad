"""Paths of Google, models/{model}:{action}: Gemini API, Gemini CLI, Vertex AI with its partners.

https://ai.google.dev/api, https://cloud.google.com/vertex-ai/docs/reference/rest
"""

from __future__ import annotations

from agentsight_core.endpoints.routes import Route

_GOOGLE_ACTIONS = {
    "generateContent": ("gemini.generate", "generate_content", False),
    "streamGenerateContent": ("gemini.generate", "generate_content", True),
    "embedContent": ("gemini.embed", "embeddings", False),
    "batchEmbedContents": ("gemini.embed", "embeddings", False),
}
# Publisher of a Vertex AI partner model → wire format of its rawPredict body.
_RAW_FORMATS = {"anthropic": "anthropic.messages"}


def find_google_route(segments: list[str], last: str) -> Route | None:
    """Return the route of a path whose `last` segment, decoded, is `{model}:{action}`; or None."""
    model, _, action = last.rpartition(":")
    if "tunedModels" in segments:
        model = f"tunedModels/{model}"
    known = _GOOGLE_ACTIONS.get(action)
    if known:
        api, operation, stream = known
        return Route(api, operation, "" if model == "v1internal" else model, stream)
    if "publishers" not in segments:
        return None
    publisher = segments[segments.index("publishers") + 1]
    if action in {"rawPredict", "streamRawPredict"} and not model.startswith("count-tokens"):
        api = _RAW_FORMATS.get(publisher, "openai.chat")
        return Route(api, "chat", model, action == "streamRawPredict")
    if action == "predict" and ("embedding" in model or "gecko" in model):
        return Route("gemini.predict", "embeddings", model, stream=False)
    return None
