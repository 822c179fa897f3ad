"""Links of spans: what a span goes back to without being its child.

Only what is known when the span is written; the other direction is in the edges. Must not decide
what belongs together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.state import Placed, SpanRef, ToolState

# https://www.w3.org/TR/trace-context/#traceparent-header-field-values; later versions may go on.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
# Of one span. A request brings few results that were not brought before.
MAX_LINKS = 64


def trace_context(header: str) -> SpanRef | None:
    """Return the span that a `traceparent` header names, None when it is none or names nothing."""
    found = _TRACEPARENT.fullmatch(header.strip())
    if found is None:
        return None
    trace, span = (bytes.fromhex(text) for text in found.groups())
    return SpanRef(trace, span) if any(trace) and any(span) else None


def previous_turn(before: SpanRef | None) -> list[pb.SpanLink]:
    """Return the link of a turn to the one before it in the same conversation."""
    return [_link(before, "previous_turn")] if before else []


def of_tool(tool: ToolState) -> list[pb.SpanLink]:
    """Return the link of a tool call to the answer that asked for it."""
    return [_link(SpanRef(tool.trace_id, tool.asked_by), "requested")] if tool.asked_by else []


def of_call(placed: Placed) -> tuple[list[pb.SpanLink], int]:
    """Return the links of a call, and how many there were too many.

    They go to the tool calls whose results it brings, and to the span that the program itself, or
    the agent that called it, says that the call is part of.
    """
    found = [_link(tool, "tool_result") for tool in placed.brings[:MAX_LINKS]]
    if placed.context:
        found.append(_link(placed.context, "trace_context"))
    return found, max(0, len(placed.brings) - MAX_LINKS)


def references(tools: Iterable[ToolState]) -> tuple[SpanRef, ...]:
    """Return where the spans of `tools` are."""
    return tuple(SpanRef(tool.trace_id, tool.span_id) for tool in tools)


def _link(to: SpanRef, kind: str) -> pb.SpanLink:
    attribute = pb.Attribute(key="agentsight.link.kind", string_value=kind)
    return pb.SpanLink(trace_id=to.trace_id, span_id=to.span_id, attributes=[attribute])
