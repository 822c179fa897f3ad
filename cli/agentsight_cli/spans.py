"""Findings as a session's spans: which kind each one is, and what belongs under what.

Must not render anything.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentsight_aggregator.exporters.attributes import PlainValue, plain
from agentsight_core.pb import findings_pb2 as pb


class Kind(enum.Enum):
    """What a span is about."""

    TURN = "turn"
    CALL = "call"
    TOOL = "tool"
    PROCESS = "process"
    OTHER = "other"


@dataclass(slots=True)
class SpanNode:
    """A span with its attributes as plain values and what it led to."""

    span: pb.Span
    kind: Kind
    attributes: dict[str, PlainValue]
    children: list[SpanNode] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the span ended with an error."""
        return self.span.status == pb.SPAN_STATUS_ERROR

    def integer(self, key: str) -> int:
        """Return the attribute as a number, 0 if there is none."""
        value = self.attributes.get(key)
        return value if isinstance(value, int) else 0


@dataclass(slots=True)
class SessionSpans:
    """Everything that was found about one session."""

    session: int
    summary: pb.SessionSummary | None = None
    nodes: list[SpanNode] = field(default_factory=list)
    roots: list[SpanNode] = field(default_factory=list)
    edges: list[pb.Edge] = field(default_factory=list)
    losses: list[pb.LossRecord] = field(default_factory=list)

    def of_kind(self, kind: Kind) -> list[SpanNode]:
        """Return the spans of one kind."""
        return [node for node in self.nodes if node.kind is kind]


def kind_of(attributes: dict[str, PlainValue]) -> Kind:
    """Return the kind of a span with these attributes."""
    operation = attributes.get("gen_ai.operation.name")
    if operation == "invoke_agent":
        return Kind.TURN
    if operation == "execute_tool":
        # A call of an MCP server that no model asked for has no outcome for a model.
        unasked = "mcp.method.name" in attributes and "agentsight.tool.outcome" not in attributes
        return Kind.OTHER if unasked else Kind.TOOL
    if operation is not None:
        return Kind.CALL
    return Kind.PROCESS if "process.pid" in attributes else Kind.OTHER


def by_session(findings: Iterable[pb.Finding]) -> list[SessionSpans]:
    """Return the sessions in `findings`, in the order of their first finding, spans linked."""
    sessions: dict[int, SessionSpans] = {}
    for finding in findings:
        session = sessions.setdefault(finding.session, SessionSpans(finding.session))
        match finding.WhichOneof("body"):
            case "span":
                attributes = plain(finding.span.attributes)
                session.nodes.append(SpanNode(finding.span, kind_of(attributes), attributes))
            case "session_summary":
                session.summary = finding.session_summary
            case "edge":
                session.edges.append(finding.edge)
            case "loss":
                session.losses.append(finding.loss)
    for session in sessions.values():
        _link(session)
    return list(sessions.values())


def _link(session: SessionSpans) -> None:
    """Put every span under its parent; a tool call under the call that asked for it."""
    by_id = {node.span.span_id: node for node in session.nodes}
    asked = {
        edge.effect_span_id: edge.cause_span_id
        for edge in session.edges
        if edge.method == "requested"
    }
    for node in session.nodes:
        parent_id = asked.get(node.span.span_id, node.span.parent_span_id)
        parent = by_id.get(parent_id) or by_id.get(node.span.parent_span_id)
        if parent is None or parent is node:
            session.roots.append(node)
        else:
            parent.children.append(node)
    for node in session.nodes:
        node.children.sort(key=_order)
    session.roots.sort(key=_order)


def _order(node: SpanNode) -> tuple[int, bytes]:
    return node.span.start_ns, node.span.span_id
