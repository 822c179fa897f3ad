"""Calls of MCP servers: joined to the model's tool calls that led to them, or spans of their own.

A tools/call is joined by name, arguments and time: agents call a server's tool `read` by names such
as `mcp__files__read`. Then the server's processes and files are the tool call's. Must not parse
JSON-RPC (that is `streams.mcp`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from agentsight_core.ids import digest
from agentsight_core.pb import events_pb2 as events
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.causes import Match, match_call
from agentsight_aggregator.analyzers.findings import Output
from agentsight_aggregator.analyzers.mcp_spans import TOOL_CALL, measure, write_call
from agentsight_aggregator.analyzers.state import McpUse, SessionState, ToolState
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.streams.mcp import McpCall, McpPeer, Progress, end, read_messages, take
from agentsight_aggregator.streams.mcp_http import read_exchange

_MAX_PEERS = 256


class Mcp:
    """Takes what MCP clients and servers say to each other."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def observe(self, session: SessionState, event: events.Event) -> None:
        """Take a message that a server on a pipe, `event.pid`, read or wrote."""
        said = event.json_rpc_message
        peer = self._peer(session, said.connection, McpPeer("pipe", server_pid=event.pid))
        server = session.processes.get(session.by_pid.get(event.pid, 0))
        if server is not None:
            server.serves = True
        for message in read_messages(said.data):
            progress = take(peer, said.connection, message, event.wall_ns, to_server=said.to_server)
            self._progress(session, peer, progress)

    def observe_exchange(self, session: SessionState, exchange: Exchange) -> bool:
        """Take the messages of an HTTP exchange; False if it is not of MCP."""
        found = read_exchange(exchange)
        if found is None:
            return False
        host, _, port = exchange.authority.rpartition(":")
        known = McpPeer(
            "tcp",
            address=host if port.isdigit() else exchange.authority,
            port=exchange.peer_port or (int(port) if port.isdigit() else 0),
            session_id=found.session_id,
        )
        connection = int.from_bytes(digest("mcp", *found.key, size=8), "big")
        peer = self._peer(session, connection, known)
        peer.revision = found.revision or peer.revision
        for text in found.texts:
            for message in read_messages(text.data):
                progress = take(peer, connection, message, text.time_ns, to_server=text.to_server)
                self._progress(session, peer, progress)
        return True

    def settle(self, session: SessionState, now_ns: int, *, busy_since_ns: int, last: bool) -> None:
        """Join what can be joined; write the finished calls that no tool call asked for.

        `busy_since_ns`: the oldest open exchange of the session began then (0 = none is open); its
        answer may still ask for them. `last`: nothing more will come.
        """
        for peer in session.mcp_peers.values():
            for call in peer.open.values():
                self._join(session, peer, call)
        if last:
            self._give_up_open(session, now_ns)
        settings = self._output.settings
        ripe_ns = now_ns if last else now_ns - settings.reorder_ns
        waiting = []
        for call in session.mcp_calls:
            peer = session.mcp_peers.get(call.connection) or McpPeer("pipe")
            self._join(session, peer, call)
            if call.tool_span_id:
                continue
            busy = 0 < busy_since_ns <= call.start_ns and call.method == TOOL_CALL
            patient = busy and not last and now_ns < call.end_ns + settings.cause_wait_ns
            if call.end_ns > ripe_ns or patient:
                waiting.append(call)
            else:
                write_call(self._output, session, call, peer)
        session.mcp_calls = waiting

    def _give_up_open(self, session: SessionState, now_ns: int) -> None:
        for peer in session.mcp_peers.values():
            unanswered = [end(call, now_ns, "unanswered") for call in peer.open.values()]
            peer.open = {}
            self._finish(session, peer, unanswered)

    def _peer(self, session: SessionState, connection: int, new: McpPeer) -> McpPeer:
        peer = session.mcp_peers.get(connection)
        if peer is None:
            while len(session.mcp_peers) >= _MAX_PEERS:
                self._output.meter.add("agentsight.evicted", 1, table="mcp_peers")
                del session.mcp_peers[next(iter(session.mcp_peers))]
            peer = session.mcp_peers[connection] = new
        return peer

    def _progress(self, session: SessionState, peer: McpPeer, progress: Progress) -> None:
        for method in progress.notifications:
            self._output.meter.add("agentsight.mcp.notifications", 1, mcp__method__name=method)
        if progress.orphans:
            reason = "mcp_answer_without_request"
            self._output.meter.add("agentsight.ignored", progress.orphans, reason=reason)
        self._finish(session, peer, progress.finished)

    def _finish(self, session: SessionState, peer: McpPeer, calls: Iterable[McpCall]) -> None:
        for call in calls:
            if call.outcome == "evicted":
                self._output.meter.add("agentsight.evicted", 1, table="mcp_calls")
            measure(self._output, session, call, peer)
            if not call.tool_span_id:
                session.mcp_calls.append(call)
            for tool in session.tools:
                if tool.mcp is not None and tool.span_id == call.tool_span_id:
                    _use(tool, call, peer, tool.mcp.method, tool.mcp.confidence)

    def _join(self, session: SessionState, peer: McpPeer, call: McpCall) -> None:
        if call.method != TOOL_CALL or call.from_server or call.tool_span_id:
            return
        tool, match = _best(session.tools, call)
        if tool is not None:
            self._give(session, tool, call, peer, match)

    def _give(
        self, session: SessionState, tool: ToolState, call: McpCall, peer: McpPeer, match: Match
    ) -> None:
        call.tool_span_id = tool.span_id
        _use(tool, call, peer, match.method, match.score)
        server = session.processes.get(session.by_pid.get(peer.server_pid, 0))
        if server is not None:
            edge = pb.Edge(
                trace_id=tool.trace_id, method=f"mcp+{match.method}", confidence=match.score
            )
            self._output.edge(session, call.start_ns, tool.span_id, server.span_id, edge)


def _use(tool: ToolState, call: McpCall, peer: McpPeer, method: str, confidence: float) -> None:
    """Note on `tool` how its call went so far; copies, as a checkpoint would make them."""
    about = msgspec.structs.replace(peer, open={})
    tool.mcp = McpUse(msgspec.structs.replace(call), about, method, confidence)
    tool.is_error = tool.is_error or call.is_error or call.error_code is not None


def _best(tools: Iterable[ToolState], call: McpCall) -> tuple[ToolState | None, Match]:
    """Return the tool call that asked for `call`; of equal ones the first that has none yet."""
    ranked = [
        (match.score, -position, tool, match)
        for position, tool in enumerate(tools)
        if tool.mcp is None
        and tool.window_start_ns <= call.start_ns
        and (not tool.outcome or call.start_ns <= tool.end_ns)
        for match in [match_call(tool, call)]
        if match.score
    ]
    if not ranked:
        return None, Match(0.0, "")
    return max(ranked, key=lambda item: item[:2])[2:]
