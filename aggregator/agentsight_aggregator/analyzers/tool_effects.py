"""Counts what tool calls did: processes, files, connections, bytes, by the name of the tool.

Must not decide whose an effect is: the cause of a process is given, and so are the effects that
were placed on a tool call.
"""

from __future__ import annotations

from collections import Counter

from agentsight_aggregator.analyzers.effect_state import (
    ChangeEffect,
    ConnectionEffect,
    Effect,
    FileEffect,
)
from agentsight_aggregator.analyzers.metrics import Meter
from agentsight_aggregator.analyzers.state import ProcessState, SessionState, ToolState

_EFFECTS = "agentsight.tool.effects"
_IO = "agentsight.tool.io"


def measure_process(meter: Meter, session: SessionState, process: ProcessState) -> None:
    """Count a process whose span is written, if a tool call is above it."""
    cause = process.cause
    if cause is None or not cause.tool_name:
        return
    counts = {
        "process": 1,
        "file": process.files,
        "file_change": process.changes,
        "connection": process.connections,
    }
    moved = {
        "file_read": process.read_bytes,
        "file_written": process.written_bytes,
        "sent": process.sent_bytes,
        "received": process.received_bytes,
    }
    _add(meter, session, cause.tool_name, counts, moved)


def measure_tool(meter: Meter, session: SessionState, tool: ToolState) -> None:
    """Count the effects inside of the agent's own process that were placed on `tool`."""
    counts: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for effect in tool.effects:
        _sum_up(effect, counts, moved)
    _add(meter, session, tool.name, counts, moved)


def _sum_up(effect: Effect, counts: Counter[str], moved: Counter[str]) -> None:
    match effect:
        case FileEffect():
            counts["file"] += not effect.error
            moved["file_read"] += effect.read_bytes
            moved["file_written"] += effect.written_bytes
        case ChangeEffect():
            counts["file_change"] += not effect.error
        case ConnectionEffect():
            counts["connection"] += 1
            moved["sent"] += effect.sent_bytes
            moved["received"] += effect.received_bytes


def _add(
    meter: Meter, session: SessionState, tool: str, counts: dict[str, int], moved: dict[str, int]
) -> None:
    for name, sums in ((_EFFECTS, counts), (_IO, moved)):
        for kind, amount in sorted(sums.items()):
            if amount:
                labels = (
                    ("agentsight.kind", kind),
                    ("gen_ai.agent.name", session.agent_name),
                    ("gen_ai.tool.name", tool),
                )
                meter.add_labelled(name, amount, labels)
