"""Effects of processes as span events, and which of them a tool call names."""

from __future__ import annotations

from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.connection_effects import connection_attributes
from agentsight_aggregator.analyzers.effect_state import (
    ChangeEffect,
    Effect,
    FileEffect,
    MarkEffect,
)
from agentsight_aggregator.analyzers.file_effects import change_attributes, file_attributes
from agentsight_aggregator.analyzers.findings import event

_MAX_TEXT = 4096


def touches(effect: Effect, text: str) -> bool:
    """Tell whether the string `text` of a tool's arguments names the file of `effect`."""
    if len(text) > _MAX_TEXT:
        return False
    match effect:
        case FileEffect():
            return _names(effect.path, text)
        case ChangeEffect():
            return _names(effect.path, text) or _names(effect.new_path, text)
    return False


def _names(path: str, text: str) -> bool:
    wanted = text.removeprefix("./").rstrip("/")
    path = path.removeprefix("./")
    return bool(wanted and path) and (
        path == wanted or path.endswith(f"/{wanted}") or wanted.endswith(f"/{path}")
    )


def effect_event(effect: Effect) -> pb.SpanEvent:
    """Return `effect` as a span event."""
    match effect:
        case FileEffect():
            return event(effect.time_ns, "file", file_attributes(effect))
        case ChangeEffect():
            return event(effect.time_ns, "file", change_attributes(effect))
        case MarkEffect():
            return event(effect.time_ns, effect.name, dict(effect.facts))
    return event(effect.time_ns, "connection", connection_attributes(effect))
