"""MCP: JSON-RPC messages of one client and one server put together to calls.

Revisions 2024-11-05 to 2026-07-28 (https://modelcontextprotocol.io/specification). The latest has
no handshake: what it says of itself stands in `_meta` of each request. Must not know how messages
came here, nor what a call means for a session.
"""

from __future__ import annotations

import msgspec

# At most so many calls of one connection wait for their answers.
MAX_OPEN = 512
_META = "io.modelcontextprotocol/"
_CLIENT, _SERVER = "c", "s"


class McpCall(msgspec.Struct):
    """A request and, once it came, its answer; times are Unix ns, 0 where something is missing."""

    method: str
    # JSON text.
    id: str
    connection: int
    start_ns: int
    # How many calls of the connection began before.
    number: int = 0
    # Of the tool or prompt that is called.
    name: str = ""
    # Of the resource that is read.
    uri: str = ""
    # JSON texts.
    arguments: str = ""
    result: str = ""
    end_ns: int = 0
    # The result says that the tool has failed.
    is_error: bool = False
    # Of an answer that is a JSON-RPC error.
    error_code: int | None = None
    error_message: str = ""
    # "" while open; answered, cancelled, evicted (too many were open), unanswered
    outcome: str = ""
    progress: int = 0
    progress_token: str = ""
    # The server asks the client: sampling, elicitation, roots.
    from_server: bool = False
    # Span of the model's tool call that led to it; b"" = not known (yet).
    tool_span_id: bytes = b""


class McpPeer(msgspec.Struct):
    """What is known of a server that a session talks to."""

    # As network.transport has it: pipe or tcp.
    transport: str
    # The server's process if it is one of the session's; else 0.
    server_pid: int = 0
    address: str = ""
    port: int = 0
    # Mcp-Session-Id
    session_id: str = ""
    name: str = ""
    version: str = ""
    revision: str = ""
    calls: int = 0
    open: dict[str, McpCall] = {}


class Progress(msgspec.Struct):
    """What one message led to."""

    finished: list[McpCall] = []
    # Methods of notifications.
    notifications: list[str] = []
    # Answers without a request.
    orphans: int = 0


def read_messages(data: bytes) -> list[dict[str, object]]:
    """Return the messages in one JSON text, of which a batch (2025-03-26) holds several."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return []
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict) and item.get("jsonrpc") == "2.0"]


def take(
    peer: McpPeer, connection: int, message: dict[str, object], time_ns: int, *, to_server: bool
) -> Progress:
    """Take a message that was seen at `time_ns`; `connection` is where."""
    progress = Progress()
    method, ident = message.get("method"), message.get("id")
    if not isinstance(method, str):
        _answer(peer, message, time_ns, progress, to_server=to_server)
    elif ident is None:
        _notification(peer, message, method, time_ns, progress, to_server=to_server)
    else:
        call = _request(peer, connection, message, method, time_ns)
        call.from_server = not to_server
        peer.open[_key(ident, from_server=not to_server)] = call
        while len(peer.open) > MAX_OPEN:
            oldest = peer.open.pop(next(iter(peer.open)))
            progress.finished.append(end(oldest, time_ns, "evicted"))
    return progress


def end(call: McpCall, time_ns: int, outcome: str) -> McpCall:
    """Say that nothing more comes for `call`."""
    call.end_ns, call.outcome = max(time_ns, call.start_ns), outcome
    return call


def _request(
    peer: McpPeer, connection: int, message: dict[str, object], method: str, time_ns: int
) -> McpCall:
    params = _part(message, "params")
    meta = _part(params, "_meta")
    _learn(peer, meta.get(f"{_META}protocolVersion"))
    token = meta.get("progressToken")
    call = McpCall(
        method=method,
        id=_text(message.get("id")),
        connection=connection,
        start_ns=time_ns,
        number=peer.calls,
        name=_string(params.get("name")),
        uri=_string(params.get("uri")),
        arguments=_text(params["arguments"]) if "arguments" in params else "",
        progress_token="" if token is None else _text(token),
    )
    peer.calls += 1
    return call


def _answer(
    peer: McpPeer,
    message: dict[str, object],
    time_ns: int,
    progress: Progress,
    *,
    to_server: bool,
) -> None:
    call = peer.open.pop(_key(message.get("id"), from_server=to_server), None)
    if call is None:
        progress.orphans += 1
        return
    end(call, time_ns, "answered")
    error, result = _part(message, "error"), _part(message, "result")
    if "error" in message:
        code = error.get("code")
        call.error_code = code if isinstance(code, int) else 0
        call.error_message = _string(error.get("message"))
    call.is_error = result.get("isError") is True
    call.result = _text(message["result"]) if "result" in message else ""
    if call.method == "initialize":
        _learn(peer, result.get("protocolVersion"))
    info = _part(result, "serverInfo") or _part(_part(result, "_meta"), f"{_META}serverInfo")
    peer.name = _string(info.get("name")) or peer.name
    peer.version = _string(info.get("version")) or peer.version
    progress.finished.append(call)


def _notification(
    peer: McpPeer,
    message: dict[str, object],
    method: str,
    time_ns: int,
    progress: Progress,
    *,
    to_server: bool,
) -> None:
    progress.notifications.append(method)
    params = _part(message, "params")
    if method == "notifications/cancelled":
        call = peer.open.pop(_key(params.get("requestId"), from_server=not to_server), None)
        if call is not None:
            progress.finished.append(end(call, time_ns, "cancelled"))
    elif method == "notifications/progress":
        token = _text(params.get("progressToken"))
        for call in peer.open.values():
            if call.progress_token == token and call.from_server == to_server:
                call.progress += 1


def _learn(peer: McpPeer, revision: object) -> None:
    if isinstance(revision, str) and revision:
        peer.revision = revision


def _key(ident: object, *, from_server: bool) -> str:
    """Both sides number their requests on their own."""
    return (_SERVER if from_server else _CLIENT) + _text(ident)


def _part(value: dict[str, object], key: str) -> dict[str, object]:
    part = value.get(key)
    return part if isinstance(part, dict) else {}


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
