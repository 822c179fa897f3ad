"""MCP over HTTP: the JSON-RPC messages in an exchange, with their times.

Streamable HTTP (revisions 2025-03-26 and later): a POST with a message, answered by JSON or by
server-sent events; a GET with events from the server. HTTP+SSE (2024-11-05): a GET whose first
event names the address for POSTs; answers come as its further events. Must not put messages
together.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urljoin, urlsplit

import msgspec
from agentsight_core.parsers.jsonrpc import is_message
from agentsight_core.parsers.pieces import time_at
from agentsight_core.parsers.sse import ServerSentEvent, SseParser

from agentsight_aggregator.exchange import Exchange

_EVENTS = "text/event-stream"
# Of the addresses that HTTP+SSE servers give out.
_SESSION_PARAMETERS = ("session_id", "sessionId")


class McpText(msgspec.Struct, frozen=True):
    """One JSON text of an exchange."""

    time_ns: int
    to_server: bool
    data: bytes


class McpExchange(msgspec.Struct, frozen=True):
    """What an exchange holds of MCP."""

    # Server and session: the same for all exchanges that belong together.
    key: tuple[str, str]
    # Mcp-Session-Id, or that of HTTP+SSE.
    session_id: str
    # MCP-Protocol-Version
    revision: str
    texts: tuple[McpText, ...]


def read_exchange(exchange: Exchange) -> McpExchange | None:
    """Return the messages of `exchange`; None if it is not of MCP."""
    events = _events(exchange)
    endpoint = next((item.data for item in events if item.event == "endpoint"), "")
    asked = exchange.method == "POST" and is_message(exchange.request_body.strip())
    revision = exchange.request_header("mcp-protocol-version")
    session = exchange.request_header("mcp-session-id") or exchange.response_header(
        "mcp-session-id"
    )
    if not asked and not endpoint and not (session and events):
        return None
    if not session:
        session = _session_parameter(urljoin(exchange.target, endpoint))
    texts = []
    if asked:
        at_ns = exchange.start_ns
        texts.append(McpText(at_ns, to_server=True, data=exchange.request_body.strip()))
    texts += _answers(exchange, events)
    server = exchange.authority or exchange.peer_address
    return McpExchange((server, session), session, revision, tuple(texts))


def _answers(exchange: Exchange, events: list[ServerSentEvent]) -> list[McpText]:
    body = exchange.response_body.strip()
    if not events:
        whole = is_message(body)
        return [McpText(exchange.end_ns, to_server=False, data=body)] if whole else []
    offsets = [offset for offset, _ in exchange.response_pieces]
    times_ns = [time_ns for _, time_ns in exchange.response_pieces]
    found = []
    for item in events:
        data = item.data.encode()
        if is_message(data):
            time_ns = time_at(offsets, times_ns, item.offset) or exchange.end_ns
            found.append(McpText(time_ns, to_server=False, data=data))
    return found


def _events(exchange: Exchange) -> list[ServerSentEvent]:
    if not exchange.response_header("content-type").startswith(_EVENTS):
        return []
    parser = SseParser()
    found = [*parser.feed(exchange.response_body), *parser.close()]
    return [item for item in found if isinstance(item, ServerSentEvent)]


def _session_parameter(target: str) -> str:
    query = parse_qs(urlsplit(target).query)
    return next((query[name][0] for name in _SESSION_PARAMETERS if query.get(name)), "")
