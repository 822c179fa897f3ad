"""Tool calls: from the answer that asks for one to the request that brings its result.

Must not decide which process a tool call caused (that is `causes`).
"""

from __future__ import annotations

import msgspec
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers import links, tool_effects
from agentsight_aggregator.analyzers.effects import effect_event
from agentsight_aggregator.analyzers.findings import (
    Attributes,
    Output,
    put_content,
    span_id,
    storable,
)
from agentsight_aggregator.analyzers.mcp_spans import tool_attributes
from agentsight_aggregator.analyzers.process_spans import process_name
from agentsight_aggregator.analyzers.state import Placed, ProcessState, SessionState, ToolState
from agentsight_aggregator.call import LlmCall, ToolCall, ToolResult
from agentsight_aggregator.samples import Labels

_MAX_NEEDLES = 64
_MAX_NEEDLE_CHARS = 64 * 1024
_MAX_DEPTH = 32
# More than one is as good as many: then the tool call has no single program.
_MAX_PROGRAMS = 2


class Tools:
    """Opens tool calls, takes in their results, writes their spans."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def open(self, session: SessionState, placed: Placed, above_span_id: bytes) -> None:
        """Open what the answer of `placed` asks for; `above_span_id` is above its turn."""
        call = placed.call
        for position, wanted in enumerate(call.tool_calls):
            tool = _tool(session, placed, above_span_id, wanted, position)
            session.tools.append(tool)
            edge = pb.Edge(trace_id=tool.trace_id, method="requested", confidence=1.0)
            self._output.edge(session, call.end_ns, placed.span_id, tool.span_id, edge)
            session.totals.tool_calls += 1
        while len(session.tools) > self._output.settings.max_open_tools:
            self._output.meter.add("agentsight.evicted", 1, table="tools")
            self.write(session, session.tools[0], call.end_ns, "evicted")

    def take_results(
        self, session: SessionState, placed: Placed, *, extends: bool
    ) -> list[ToolState]:
        """Close and return the tools of the thread whose results `placed` brings.

        `extends`: the request continues the whole history, so what it does not bring never comes.
        """
        call = placed.call
        waiting = [
            tool for tool in session.tools if tool.thread == placed.thread and not tool.outcome
        ]
        brought: list[ToolState] = []
        if not waiting:
            return brought
        for result in _results(call, placed.known):
            tool = _match(waiting, result)
            if tool is None:
                continue
            waiting.remove(tool)
            brought.append(tool)
            tool.result = result.content
            tool.is_error = result.is_error
            _end(tool, call.start_ns, "result")
            edge = pb.Edge(trace_id=tool.trace_id, method="tool_result", confidence=1.0)
            self._output.edge(session, call.start_ns, tool.span_id, placed.span_id, edge)
        if extends:
            for tool in waiting:
                _end(tool, call.start_ns, "no_result")
        return brought

    def abandon(self, session: SessionState, thread: int, now_ns: int, why: str) -> None:
        """No result will come any more for the open tools of `thread`."""
        for tool in session.tools:
            if tool.thread == thread and not tool.outcome:
                _end(tool, now_ns, why)

    def take_process(self, session: SessionState, process: ProcessState) -> None:
        """Note the end of a process on the tool call that started it, if that is still open."""
        for tool in session.tools:
            _take_process(tool, process)

    def write(self, session: SessionState, tool: ToolState, now_ns: int, why: str) -> None:
        """Write the span of `tool`; one that is still open ends now, because of `why`."""
        if not tool.outcome:
            _end(tool, now_ns, why)
        session.tools.remove(tool)
        for process in session.processes.values():
            _take_process(tool, process)
        session.totals.failed_tool_calls += tool.is_error
        span = pb.Span(
            trace_id=tool.trace_id,
            span_id=tool.span_id,
            parent_span_id=tool.turn_span_id,
            name=storable(f"execute_tool {tool.name}"),
            kind=pb.SPAN_KIND_INTERNAL,
            start_ns=tool.start_ns,
            end_ns=tool.end_ns,
            status=pb.SPAN_STATUS_ERROR if tool.is_error else pb.SPAN_STATUS_UNSET,
        )
        events = [effect_event(effect) for effect in tool.effects]
        attributes = self._attributes(session, tool)
        self._output.span(session, span, attributes, events, links.of_tool(tool))
        labels = _labels(session, tool)
        self._output.meter.add_labelled("agentsight.tool.calls", 1, labels)
        seconds = (tool.end_ns - tool.start_ns) / 1e9
        self._output.meter.record(
            "gen_ai.execute_tool.duration", seconds, labels, tool.trace_id, tool.end_ns
        )
        tool_effects.measure_tool(self._output.meter, session, tool)

    def _attributes(self, session: SessionState, tool: ToolState) -> Attributes:
        attributes: Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool.name,
            "gen_ai.tool.type": "function",
            "gen_ai.agent.name": session.agent_name,
            "agentsight.tool.outcome": tool.outcome,
            "agentsight.tool.processes": tool.processes,
        }
        if tool.id:
            attributes["gen_ai.tool.call.id"] = tool.id
        if tool.is_error:
            attributes["error.type"] = "tool_error"
        if len(tool.programs) == 1:
            attributes["process.executable.name"] = tool.programs[0]
        if len(tool.exit_codes) == 1:
            attributes["process.exit.code"] = tool.exit_codes[0]
        attributes.update(tool_attributes(tool))
        if tool.omitted_effects:
            attributes["agentsight.effects.omitted"] = tool.omitted_effects
        if self._output.settings.content_on_spans:
            limit = self._output.settings.max_content_bytes
            put_content(attributes, "gen_ai.tool.call.arguments", tool.arguments, limit)
            if tool.outcome == "result":
                put_content(attributes, "gen_ai.tool.call.result", tool.result, limit)
        return attributes


def needles(arguments: str) -> tuple[str, ...]:
    """Return the strings in the JSON `arguments`, longest first; a list of strings also as a line.

    Arguments that are no JSON (a stream cut in the middle, free text) are one string.
    """
    try:
        found = _strings(msgspec.json.decode(arguments[:_MAX_NEEDLE_CHARS]), 0)
    except (msgspec.DecodeError, RecursionError):
        found = [arguments[:_MAX_NEEDLE_CHARS]]
    distinct = dict.fromkeys(text.strip() for text in found)
    return tuple(sorted(filter(None, distinct), key=len, reverse=True)[:_MAX_NEEDLES])


def _strings(value: object, depth: int) -> list[str]:
    if isinstance(value, str):
        return [value]
    if depth > _MAX_DEPTH or not isinstance(value, dict | list):
        return []
    items = list(value.values()) if isinstance(value, dict) else value
    found = [text for item in items for text in _strings(item, depth + 1)]
    if isinstance(value, list) and len(found) > 1:
        found.append(" ".join(found))
    return found


def _tool(
    session: SessionState, placed: Placed, above_span_id: bytes, wanted: ToolCall, position: int
) -> ToolState:
    call = placed.call
    about = (session.id, placed.connection, placed.index, call.start_ns, position)
    return ToolState(
        id=wanted.id,
        name=wanted.name,
        arguments=wanted.arguments,
        needles=needles(wanted.arguments),
        trace_id=placed.trace_id,
        span_id=span_id(placed.trace_id, "tool", *about),
        turn_span_id=placed.parent_span_id,
        above_span_id=above_span_id,
        thread=placed.thread,
        pid=placed.pid,
        window_start_ns=call.first_chunk_ns or call.end_ns,
        start_ns=call.end_ns,
        asked_by=placed.span_id,
    )


def _take_process(tool: ToolState, process: ProcessState) -> None:
    """Note what `process` was and its exit status, if `tool` itself started it."""
    cause = process.cause
    if cause is None or cause.parent_span_id != tool.span_id or not process.exited:
        return
    name = process_name(process)
    if name not in tool.programs and len(tool.programs) < _MAX_PROGRAMS:
        tool.programs = (*tool.programs, name)
    # -1: the exit was missed.
    known = process.exit_code >= 0 and not process.exit_signal
    if known and process.exit_code not in tool.exit_codes:
        tool.exit_codes = (*tool.exit_codes, process.exit_code)


def _end(tool: ToolState, now_ns: int, outcome: str) -> None:
    tool.end_ns = max(now_ns, tool.start_ns)
    tool.outcome = outcome


def _results(call: LlmCall, known: int) -> list[ToolResult]:
    """Return results to match: all with an id; those without one only where they are new."""
    return [
        result
        for position, message in enumerate(call.input)
        for result in message.tool_results
        if result.id or position >= known
    ]


def _match(waiting: list[ToolState], result: ToolResult) -> ToolState | None:
    if result.id:
        found = next((tool for tool in waiting if tool.id == result.id), None)
        if found is not None:
            return found
    return next((tool for tool in waiting if not tool.id and result.name in {"", tool.name}), None)


def _labels(session: SessionState, tool: ToolState) -> Labels:
    labels = [
        ("gen_ai.agent.name", session.agent_name),
        ("gen_ai.tool.name", tool.name),
        ("gen_ai.tool.type", "function"),
    ]
    if tool.is_error:
        labels.append(("error.type", "tool_error"))
    return tuple(sorted(labels))
