"""Which HTTP requests are MCP's: told by the head alone.

Streamable HTTP: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports. Its
first request (initialize) has no header of its own, but a client must accept both JSON and events.
HTTP+SSE (2024-11-05) has no sign at all: every GET for events may be one, and a POST is one to an
address with a session in it, as the SDKs make them. Must not read bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

_HEADERS = frozenset({"mcp-session-id", "mcp-protocol-version", "mcp-method"})
_JSON, _EVENTS = "application/json", "text/event-stream"
_SESSION_PARAMETERS = frozenset({"session_id", "sessionId"})


def may_be_mcp(method: str, target: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a request with these headers (names in lower case) may be one of MCP."""
    if not _HEADERS.isdisjoint(headers):
        return True
    accept = headers.get("accept", "")
    if method == "GET":
        return _EVENTS in accept
    if method != "POST" or not headers.get("content-type", "").startswith(_JSON):
        return False
    both = _JSON in accept and _EVENTS in accept
    return both or not _SESSION_PARAMETERS.isdisjoint(parse_qs(urlsplit(target).query))
