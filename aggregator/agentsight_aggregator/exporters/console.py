"""One readable line for each finding that a person at a terminal wants to see as it happens.

Pure: no printing, no colour, no clock. Text of watched programs is made harmless: no control
characters, bounded length.
"""

from __future__ import annotations

from agentsight_core.ids import session_text
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.exporters.attributes import PlainValue, plain

_NS_PER_SECOND = 1_000_000_000
_TEXT_CHARS = 72

Attributes = dict[str, PlainValue]


def describe(finding: pb.Finding) -> str | None:
    """Return a line such as `3f09a1c2  call     model · 1,204 in, 96 out · $0.0041 · 1.8 s`.

    It begins with the first 8 digits of the session. None for kinds that no line is written for
    (edges, conversation messages, summaries of sessions that go on).
    """
    line: str | None = None
    match finding.WhichOneof("body"):
        case "span":
            line = _span(finding.span)
        case "session_summary" if finding.session_summary.ended:
            line = _session(finding.session_summary)
        case "loss":
            loss = finding.loss
            line = _line("LOST", f"{loss.count:,} {loss.unit} at {loss.stage}", loss.reason)
        case _:
            return None
    return f"{session_text(finding.session)[:8]}  {line}"


def _span(span: pb.Span) -> str:
    attributes = plain(span.attributes)
    operation = attributes.get("gen_ai.operation.name")
    if operation == "invoke_agent":
        return _line("turn", _shown(span.name), _failure(span, attributes), _duration(span))
    if operation == "execute_tool":
        return _tool(span, attributes)
    if operation is not None:
        return _call(span, attributes)
    if "process.pid" in attributes:
        return _process(span, attributes)
    return _line("span", _shown(span.name), _failure(span, attributes), _duration(span))


def _call(span: pb.Span, attributes: Attributes) -> str:
    model = attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model")
    tools = attributes.get("agentsight.response.tool_names")
    return _line(
        "call",
        _shown(model or span.name),
        _tokens(attributes),
        _figure("${:.4f}", attributes.get("agentsight.cost.usd")),
        _figure("first token {:.2f} s", attributes.get("gen_ai.response.time_to_first_chunk")),
        f"asks for {_shown(', '.join(tools))}" if isinstance(tools, list) and tools else "",
        _failure(span, attributes),
        _duration(span),
    )


def _tokens(attributes: Attributes) -> str:
    counts = [
        f"{value:,} {word}"
        for key, word in (
            ("gen_ai.usage.input_tokens", "in"),
            ("gen_ai.usage.cache_read.input_tokens", "cached"),
            ("gen_ai.usage.output_tokens", "out"),
        )
        if isinstance(value := attributes.get(key), int) and (value or word != "cached")
    ]
    return ", ".join(counts)


def _tool(span: pb.Span, attributes: Attributes) -> str:
    name = _shown(attributes.get("gen_ai.tool.name") or span.name)
    arguments = _shown(attributes.get("gen_ai.tool.call.arguments") or "")
    return _line("tool", f"{name} {arguments}".strip(), _failure(span, attributes), _duration(span))


def _process(span: pb.Span, attributes: Attributes) -> str:
    argv = attributes.get("process.command_args")
    command = " ".join(argv) if isinstance(argv, list) and argv else span.name
    exit_code = attributes.get("process.exit.code")
    return _line(
        "process",
        _shown(command),
        f"pid {attributes['process.pid']}",
        f"exit {exit_code}" if exit_code else "",
        _duration(span),
    )


def _session(summary: pb.SessionSummary) -> str:
    seconds = (summary.last_activity_ns - summary.start_ns) / _NS_PER_SECOND
    return _line(
        "session",
        f"{_shown(summary.agent_name)} ended",
        f"{summary.turns} turns, {summary.llm_calls} calls, {summary.tool_calls} tools",
        f"{summary.input_tokens:,} in, {summary.output_tokens:,} out",
        _figure("${:.4f}", summary.cost_usd) if summary.cost_usd else "",
        f"{summary.unpriced_calls} calls without a price" if summary.unpriced_calls else "",
        f"{seconds:.1f} s",
    )


def _failure(span: pb.Span, attributes: Attributes) -> str:
    if span.status != pb.SPAN_STATUS_ERROR:
        return ""
    reason = attributes.get("error.type") or span.status_message
    return f"failed: {_shown(reason)}" if reason else "failed"


def _duration(span: pb.Span) -> str:
    seconds = (span.end_ns - span.start_ns) / _NS_PER_SECOND
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def _figure(form: str, value: PlainValue) -> str:
    return form.format(value) if isinstance(value, int | float) else ""


def _shown(value: PlainValue) -> str:
    """Return `value` as printable text of one line, cut to a bounded length."""
    text = str(value)
    harmless = "".join(char if char.isprintable() else " " for char in text[: 2 * _TEXT_CHARS])
    harmless = " ".join(harmless.split())
    if len(harmless) > _TEXT_CHARS or len(text) > 2 * _TEXT_CHARS:
        return f"{harmless[: _TEXT_CHARS - 1]}…"
    return harmless


def _line(kind: str, *parts: str) -> str:
    return f"{kind:<8} " + " · ".join(part for part in parts if part)
