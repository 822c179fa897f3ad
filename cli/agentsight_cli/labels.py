"""The text of each line of the tree.

Must not know where a line stands or how it is drawn.
"""

from __future__ import annotations

import msgspec
from agentsight_aggregator.analyzers.background import is_background_path
from agentsight_aggregator.exporters.attributes import PlainValue
from agentsight_core.pb import findings_pb2 as pb

from agentsight_cli.spans import Kind, SessionSpans, SpanNode
from agentsight_cli.text import NS_PER_SECOND, counted, dollars, duration, shown, size

Attributes = dict[str, PlainValue]

# Names of span events that are effects of a process.
EFFECTS = ("file", "connection", "signal", "limit", "oom_kill", "capture_limited")


def session(session_id: str, spans: SessionSpans) -> str:
    """Return who the agent is and the totals of its session."""
    summary = spans.summary
    if summary is None:
        return _joined(f"session {session_id}")
    name = shown(summary.agent_name) or "agent"
    tokens = f"{summary.input_tokens:,} in, {summary.output_tokens:,} out"
    failed = f" ({summary.failed_llm_calls} failed)" if summary.failed_llm_calls else ""
    return _joined(
        f"session {session_id}  {name}",
        shown(" ".join(summary.argv)),
        duration(summary.last_activity_ns - summary.start_ns),
        counted(summary.turns, "turn"),
        counted(summary.llm_calls, "call") + failed,
        counted(summary.tool_calls, "tool"),
        counted(summary.processes, "process"),
        tokens,
        dollars(summary.cost_usd) if summary.llm_calls > summary.unpriced_calls else "",
        f"{counted(summary.unpriced_calls, 'call')} unpriced" if summary.unpriced_calls else "",
    )


def span(node: SpanNode) -> str:
    """Return what a span says of itself."""
    match node.kind:
        case Kind.TURN:
            return _turn(node)
        case Kind.CALL:
            return _call(node)
        case Kind.TOOL:
            return _tool(node)
        case Kind.PROCESS:
            return _process(node)
        case _:
            return _joined(shown(node.span.name), _mcp(node), _failure(node), _duration(node))


def attempt(attributes: Attributes) -> str:
    """Return a failed attempt of a call that was tried again."""
    status = attributes.get("http.response.status_code")
    return _joined(
        "attempt",
        f"status {status}" if status else "",
        f"failed: {shown(attributes.get('error.type'))}",
    )


def effect(name: str, attributes: Attributes) -> str:
    """Return a file or a connection of a process."""
    error = attributes.get("error.type")
    failure = f"failed: {shown(error)}" if error else ""
    if "agentsight.file.operation" in attributes:
        return _joined(_change(attributes), failure)
    if name == "shell.input":
        return f"typed {shown(attributes.get('agentsight.shell.line'), 100)}"
    if name in ("signal", "limit", "oom_kill", "capture_limited"):
        return _mark(name, attributes)
    if name == "file":
        return _joined(
            f"file {shown(attributes.get('file.path'), 100)}",
            str(attributes.get("agentsight.file.access", "")),
            _bytes(attributes, "agentsight.file.read_bytes", "read"),
            _bytes(attributes, "agentsight.file.written_bytes", "written"),
            failure,
        )
    address = attributes.get("network.peer.address")
    return _joined(
        f"connection {shown(address)} port {attributes.get('network.peer.port')}",
        _bytes(attributes, "agentsight.connection.sent_bytes", "sent"),
        _bytes(attributes, "agentsight.connection.received_bytes", "received"),
        _round_trip(attributes),
        _resent(attributes),
        failure,
    )


def is_change(name: str, attributes: Attributes) -> bool:
    """Tell whether an effect changed something or left the machine, not only read."""
    if name != "file":
        return True
    operation = attributes.get("agentsight.file.operation", "directory_entered")
    return (
        operation != "directory_entered"
        or bool(attributes.get("agentsight.file.written_bytes"))
        or bool(attributes.get("agentsight.file.mapped_for_writing"))
    )


def is_missing(name: str, attributes: Attributes) -> bool:
    """Tell whether a file was looked for that is not there, as programs do that start."""
    return name == "file" and attributes.get("error.type") == "ENOENT"


def is_background(name: str, attributes: Attributes) -> bool:
    """Tell whether an effect is the reading of a file that belongs to system or interpreter."""
    if is_change(name, attributes):
        return False
    return is_background_path(str(attributes.get("file.path")))


def _mark(name: str, attributes: Attributes) -> str:
    """Return a signal, a limit that was hit, or a kill for memory."""
    if name == "oom_kill":
        return "killed: out of memory"
    if name == "capture_limited":
        return _limited(attributes)
    if name == "limit":
        call = attributes.get("agentsight.limit.call")
        count = attributes.get("agentsight.limit.count")
        return f"limit {shown(call)}  failed: {attributes.get('error.type')}  {count} times or more"
    sender = attributes.get("agentsight.signal.sender_pid") or "kernel"
    target = attributes.get("agentsight.signal.target_pid")
    return f"signal {attributes.get('agentsight.signal.name')} from {sender} to {target}"


def _limited(attributes: Attributes) -> str:
    """Return that the configuration leaves something out from here on, or has until here."""
    what = shown(attributes.get("agentsight.capture.limit"))
    if attributes.get("agentsight.capture.state") == "began":
        return f"{what}: some are left out from here on, as configured"
    numbers = [attributes.get(f"agentsight.capture.{why}") for why in ("rate", "sampled")]
    left_out = sum(number for number in numbers if isinstance(number, int))
    return f"{what}: {left_out} were left out until here, as configured"


def _round_trip(attributes: Attributes) -> str:
    micros = attributes.get("agentsight.connection.round_trip_us")
    return f"rtt {micros / 1000:.1f} ms" if isinstance(micros, int) and micros else ""


def _resent(attributes: Attributes) -> str:
    again = attributes.get("agentsight.connection.retransmitted_segments")
    sent = attributes.get("agentsight.connection.sent_segments")
    return f"{again} of {sent} segments again" if again and sent else ""


def _change(attributes: Attributes) -> str:
    """Return a change of a file: "renamed a to b"."""
    operation = str(attributes["agentsight.file.operation"]).replace("_", " ")
    new = attributes.get("agentsight.file.new_path")
    mode = attributes.get("agentsight.file.mode")
    return " ".join(
        (
            f"{operation} {shown(attributes.get('file.path'), 100)}",
            *([f"to {shown(new, 100)}"] if new else []),
            *([f"mode {mode}"] if mode else []),
        )
    )


def more(count: int, noun: str) -> str:
    """Return the line for what is not shown."""
    noun, blank, rest = noun.partition(" ")
    return f"… {counted(count, noun)}{blank}{rest} more"


def loss(record: pb.LossRecord) -> str:
    """Return what was lost."""
    return f"LOST {record.count:,} {record.unit} at {record.stage}: {record.reason}"


def _turn(node: SpanNode) -> str:
    return _joined(
        f"turn  {shown(node.attributes.get('gen_ai.agent.name') or node.span.name)}",
        _failure(node),
        _duration(node),
    )


def _call(node: SpanNode) -> str:
    attributes = node.attributes
    model = attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model")
    first = attributes.get("gen_ai.response.time_to_first_chunk")
    cost = attributes.get("agentsight.cost.usd")
    retries = node.integer("agentsight.retries")
    return _joined(
        f"{attributes.get('gen_ai.operation.name')}  {shown(model or 'unknown model')}",
        _tokens(attributes),
        dollars(cost) if isinstance(cost, float) else "",
        f"first token {duration(int(first * NS_PER_SECOND))}" if isinstance(first, float) else "",
        _speed(node, first),
        counted(retries, "retry") if retries else "",
        _failure(node),
        _duration(node),
    )


def _tokens(attributes: Attributes) -> str:
    cached = attributes.get("gen_ai.usage.cache_read.input_tokens")
    note = f" ({cached:,} cached)" if isinstance(cached, int) and cached else ""
    parts = []
    for key, word in (("input", f"in{note}"), ("output", "out")):
        value = attributes.get(f"gen_ai.usage.{key}_tokens")
        if isinstance(value, int):
            parts.append(f"{value:,} {word}")
    return ", ".join(parts)


def _speed(node: SpanNode, first: PlainValue) -> str:
    """Return tokens per second from the first token to the end."""
    tokens = node.integer("gen_ai.usage.output_tokens")
    if not isinstance(first, float) or tokens < 2 or node.integer("agentsight.retries"):
        return ""  # with retries, the span began before the attempt that `first` is counted from
    seconds = (node.span.end_ns - node.span.start_ns) / NS_PER_SECOND - first
    return f"{tokens / seconds:.0f} tok/s" if seconds > 0 else ""


def _tool(node: SpanNode) -> str:
    arguments = node.attributes.get("gen_ai.tool.call.arguments")
    outcome = node.attributes.get("agentsight.tool.outcome")
    return _joined(
        f"tool  {shown(node.attributes.get('gen_ai.tool.name') or node.span.name)}"
        f" {_arguments(arguments)}".rstrip(),
        _mcp(node),
        _failure(node),
        "" if outcome in (None, "result") else "no result was seen",
        _duration(node),
    )


def _mcp(node: SpanNode) -> str:
    """Return which MCP server answered, and how it was spoken to; "" if none was."""
    if "mcp.method.name" not in node.attributes:
        return ""
    server = node.attributes.get("agentsight.mcp.server.name")
    server = server or node.attributes.get("server.address") or "server"
    return f"MCP {shown(server)} ({shown(node.attributes.get('network.transport'))})"


def _arguments(text: PlainValue) -> str:
    """Return `name=value` for a JSON object, the text itself for anything else."""
    if not isinstance(text, str):
        return ""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return shown(text)
    if not isinstance(value, dict):
        return shown(text)
    return shown(", ".join(f"{key}={item}" for key, item in value.items()))


def _process(node: SpanNode) -> str:
    attributes = node.attributes
    argv = attributes.get("process.command_args")
    command = " ".join(argv) if isinstance(argv, list) and argv else node.span.name
    exit_code = attributes.get("process.exit.code")
    signal = attributes.get("agentsight.process.exit_signal")
    state = f"exit {exit_code}" if exit_code is not None else ""
    if signal:
        state = f"signal {signal}"
    elif attributes.get("agentsight.process.running"):
        state = "still running"
    elif attributes.get("agentsight.process.exit_missed"):
        state = "exit not seen"
    return _joined(
        f"process  {shown(command)}", f"pid {attributes['process.pid']}", state, _duration(node)
    )


def _failure(node: SpanNode) -> str:
    if not node.failed:
        return ""
    reason = node.attributes.get("error.type") or node.span.status_message
    return f"failed: {shown(reason)}" if reason else "failed"


def _duration(node: SpanNode) -> str:
    return duration(node.span.end_ns - node.span.start_ns)


def _bytes(attributes: Attributes, key: str, word: str) -> str:
    value = attributes.get(key)
    return f"{size(value)} {word}" if isinstance(value, int) and value else ""


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)
