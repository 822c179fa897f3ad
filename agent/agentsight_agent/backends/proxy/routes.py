"""Which variables lead programs to an LLM API, and where each leads without us.

Sources: the READMEs of the vendors' SDKs and programs named at each variable. Must not open
anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from agentsight_core.errors import ConfigError

# The API itself; "" = only where the user has set the variable.
_DEFAULTS = {
    # anthropic SDKs, Claude Code
    "ANTHROPIC_BASE_URL": "https://api.anthropic.com",
    # Claude Code on other clouds, through a gateway
    "ANTHROPIC_BEDROCK_BASE_URL": "",
    "ANTHROPIC_VERTEX_BASE_URL": "",
    # openai SDKs; the second is what version 0 and LangChain read
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_API_BASE": "https://api.openai.com/v1",
    "AZURE_OPENAI_ENDPOINT": "",
    # google-genai, Gemini CLI
    "GOOGLE_GEMINI_BASE_URL": "https://generativelanguage.googleapis.com",
    "GOOGLE_VERTEX_BASE_URL": "",
    # cohere
    "CO_API_URL": "https://api.cohere.com",
    # ollama; may lack scheme and port
    "OLLAMA_HOST": "http://127.0.0.1:11434",
    # groq, Together, Mistral and others have the same shape
    "GROQ_BASE_URL": "",
    "TOGETHER_BASE_URL": "",
}
_BEDROCK = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
_BEDROCK_TOKEN = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105  the name of a variable
_PORTS = {"http": 80, "https": 443}
_OLLAMA_PORT = 11434


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a listener forwards to."""

    host: str
    port: int
    is_tls: bool
    # Path that the variable's value has behind the authority; without a slash at the end.
    path: str = ""

    @property
    def authority(self) -> str:
        """As the Host header has it: without the port that the scheme implies."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        implied = _PORTS["https" if self.is_tls else "http"]
        return host if self.port == implied else f"{host}:{self.port}"


def find_routes(environment: Mapping[str, str]) -> dict[str, Upstream]:
    """Return variable → upstream for all that can be led over a proxy.

    Requests to Bedrock are signed together with the name of the host, so they can be led over a
    proxy only with a bearer token. Raises ConfigError for a variable that holds no http(s) URL.
    """
    wanted = {name: environment.get(name) or default for name, default in _DEFAULTS.items()}
    if environment.get(_BEDROCK_TOKEN):
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        default = f"https://bedrock-runtime.{region}.amazonaws.com" if region else ""
        wanted[_BEDROCK] = environment.get(_BEDROCK) or default
    return {name: _parse(name, value) for name, value in wanted.items() if value}


def _parse(name: str, value: str) -> Upstream:
    bare = name == "OLLAMA_HOST" and "://" not in value
    try:
        parts = urlsplit(f"http://{value}" if bare else value)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.query:
        raise ConfigError(f"{name}: allowed: an http or https URL without a query")
    if bare and port is None:
        port = _OLLAMA_PORT
    # What a server listens on is no address to connect to.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname, parts.hostname)  # noqa: S104
    return Upstream(
        host, port or _PORTS[parts.scheme], parts.scheme == "https", parts.path.rstrip("/")
    )
