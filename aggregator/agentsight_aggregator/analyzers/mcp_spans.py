"""Spans, attributes and metrics of MCP calls, in the names of the OTel conventions for MCP.

github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/mcp.md. Must not decide what a
call belongs to.
"""

from __future__ import annotations

from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.findings import (
    Attributes,
    Output,
    put_content,
    span_id,
    storable,
)
from agentsight_aggregator.analyzers.state import SessionState, ToolState
from agentsight_aggregator.samples import Labels
from agentsight_aggregator.streams.mcp import McpCall, McpPeer

TOOL_CALL, _PROMPT = "tools/call", "prompts/get"


def write_call(output: Output, session: SessionState, call: McpCall, peer: McpPeer) -> None:
    """Write the span of a call that no tool call of a model led to."""
    trace, parent = _place(session, call)
    error = _error_type(call)
    span = pb.Span(
        trace_id=trace,
        span_id=span_id(trace, "mcp", session.id, call.connection, call.number, call.start_ns),
        parent_span_id=parent,
        name=storable(f"{call.method} {call.name}".strip()),
        # A request of the server is served by the agent.
        kind=pb.SPAN_KIND_SERVER if call.from_server else pb.SPAN_KIND_CLIENT,
        start_ns=call.start_ns,
        end_ns=call.end_ns,
        status=pb.SPAN_STATUS_ERROR if error else pb.SPAN_STATUS_UNSET,
        status_message=storable(call.error_message) if error else "",
    )
    attributes = call_attributes(call, peer)
    attributes["gen_ai.agent.name"] = session.agent_name
    if call.name and call.method == TOOL_CALL:
        attributes["gen_ai.tool.name"] = call.name
        attributes["gen_ai.operation.name"] = "execute_tool"
    if output.settings.content_on_spans and call.method == TOOL_CALL:
        limit = output.settings.max_content_bytes
        put_content(attributes, "gen_ai.tool.call.arguments", call.arguments, limit)
        put_content(attributes, "gen_ai.tool.call.result", call.result, limit)
    output.span(session, span, attributes)


def tool_attributes(tool: ToolState) -> Attributes:
    """Return what the MCP call of `tool` adds to its span; nothing if there was none."""
    use = tool.mcp
    if use is None:
        return {}
    attributes = call_attributes(use.call, use.peer)
    attributes["agentsight.mcp.tool.name"] = use.call.name
    attributes["agentsight.mcp.duration_ms"] = (
        max(use.call.end_ns - use.call.start_ns, 0) / 1e6 if use.call.end_ns else -1.0
    )
    attributes["agentsight.cause.method"] = f"mcp+{use.method}"
    attributes["agentsight.cause.confidence"] = use.confidence
    return attributes


def call_attributes(call: McpCall, peer: McpPeer) -> Attributes:
    """Return what the conventions say of a call of `peer`."""
    found: Attributes = {
        "mcp.method.name": call.method,
        "jsonrpc.request.id": call.id.strip('"'),
        "network.transport": peer.transport,
    }
    texts = {
        "mcp.protocol.version": peer.revision,
        "mcp.session.id": peer.session_id,
        "mcp.resource.uri": call.uri,
        "server.address": peer.address,
        "error.type": _error_type(call),
        "agentsight.mcp.server.name": peer.name,
        "agentsight.mcp.server.version": peer.version,
        "gen_ai.prompt.name": call.name if call.method == _PROMPT else "",
    }
    found.update({key: text for key, text in texts.items() if text})
    if peer.transport == "tcp":
        found["network.protocol.name"] = "http"
    if peer.port:
        found["server.port"] = peer.port
    if peer.server_pid:
        found["agentsight.mcp.server.pid"] = peer.server_pid
    if call.error_code is not None:
        found["rpc.response.status_code"] = str(call.error_code)
    if call.progress:
        found["agentsight.mcp.progress"] = call.progress
    return found


def measure(output: Output, session: SessionState, call: McpCall, peer: McpPeer) -> None:
    """Count a finished call."""
    values = {
        "error.type": _error_type(call),
        "gen_ai.agent.name": session.agent_name,
        "gen_ai.tool.name": call.name if call.method == TOOL_CALL else "",
        "mcp.method.name": call.method,
        "mcp.protocol.version": peer.revision,
        "network.transport": peer.transport,
    }
    labels: Labels = tuple((key, storable(value)) for key, value in values.items() if value)
    seconds = (call.end_ns - call.start_ns) / 1e9
    output.meter.record("mcp.client.operation.duration", seconds, labels)


def _error_type(call: McpCall) -> str:
    if call.error_code is not None:
        return str(call.error_code)
    if call.is_error:
        return "tool_error"
    return "" if call.outcome in {"", "answered"} else call.outcome


def _place(session: SessionState, call: McpCall) -> tuple[bytes, bytes]:
    """Return trace and parent of a call: the turn that it began in, else the session itself."""
    turns = [thread.turn for thread in session.threads.values() if thread.turn is not None]
    around = [
        (turn.start_ns, turn.trace_id, turn.span_id)
        for turn in turns
        if turn.start_ns <= call.start_ns
    ] + [
        (turn.start_ns, turn.trace_id, turn.span_id)
        for turn in session.closed_turns
        if turn.start_ns <= call.start_ns <= turn.end_ns
    ]
    if around:
        _, trace, parent = max(around)
        return trace, parent
    earliest = session.root_start_ns or call.start_ns
    session.root_start_ns = min(earliest, call.start_ns)
    return session.trace_id, session.span_id
