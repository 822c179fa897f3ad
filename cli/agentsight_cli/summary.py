"""What a run found, as one JSON object; and the loss ledger as lines.

Must not decide whether a run was good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agentsight_core.ids import session_text
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.telemetry.ledger import lost_items

from agentsight_cli.spans import Kind, SpanNode, by_session
from agentsight_cli.text import NS_PER_SECOND

Stages = Sequence[Mapping[str, object]]

_COLUMNS = ("stage", "unit", "received", "emitted", "held")


def summarize(
    findings: Iterable[pb.Finding],
    *,
    events_captured: int,
    stages: Stages = (),
    events_lost: int | None = None,
) -> dict[str, object]:
    """Return the figures of a run.

    `stages` is the loss ledger, as `Ledger.as_dict()` of all processes one after the other.
    `events_lost` is what the ledger of a live run says as a whole (`LedgerVerdict.lost_count`).
    Without it (a replay), it is what the stages dropped or cannot explain, and what the recording
    itself says to have lost.
    """
    kept = list(findings)
    sessions = by_session(kept)
    nodes = [node for session in sessions for node in session.nodes]
    calls = [node for node in nodes if node.kind is Kind.CALL]
    recorded = sum(loss.count for session in sessions for loss in session.losses)
    lost = lost_items(list(stages)) + recorded if events_lost is None else events_lost
    return {
        "sessions": [session_text(item.session) for item in sessions if item.session],
        "turns": _count(nodes, Kind.TURN),
        "llm_calls": len(calls),
        "failed_llm_calls": sum(node.failed for node in calls),
        "tool_calls": _count(nodes, Kind.TOOL),
        "processes": _count(nodes, Kind.PROCESS),
        "edges": sum(len(session.edges) for session in sessions),
        "models": sorted({_model(node) for node in calls} - {""}),
        "input_tokens": sum(node.integer("gen_ai.usage.input_tokens") for node in calls),
        "output_tokens": sum(node.integer("gen_ai.usage.output_tokens") for node in calls),
        "cost_usd": round(sum(_cost(node) for node in calls), 9),
        "unpriced_calls": sum("agentsight.cost.usd" not in node.attributes for node in calls),
        "events_captured": events_captured,
        "events_lost": lost,
        "findings": len(kept),
        "duration_s": _duration_s(nodes),
        "ledger": list(stages),
    }


def ledger_rows(stages: Stages) -> list[tuple[str, ...]]:
    """Return the loss ledger as a table: a head and one row a stage."""
    rows: list[tuple[str, ...]] = [(*_COLUMNS, "filtered", "dropped", "unexplained")]
    for stage in stages:
        cells = (str(stage[column]) for column in _COLUMNS)
        reasons = (_reasons(stage[key]) for key in ("filtered", "dropped"))
        rows.append((*cells, *reasons, str(stage["unexplained"])))
    return rows


def ledger_text(stages: Stages) -> str:
    """Return the loss ledger as plain text in columns, "" without stages."""
    if not stages:
        return ""
    rows = ledger_rows(stages)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "loss ledger\n" + "".join(f"  {line}\n" for line in lines)


def _reasons(counts: object) -> str:
    assert isinstance(counts, Mapping)
    return ", ".join(f"{reason} {count}" for reason, count in counts.items() if count) or "0"


def _count(nodes: Iterable[SpanNode], kind: Kind) -> int:
    return sum(node.kind is kind for node in nodes)


def _model(node: SpanNode) -> str:
    found = node.attributes.get("gen_ai.response.model")
    return str(found or node.attributes.get("gen_ai.request.model") or "")


def _cost(node: SpanNode) -> float:
    value = node.attributes.get("agentsight.cost.usd")
    return value if isinstance(value, float) else 0.0


def _duration_s(nodes: Sequence[SpanNode]) -> float:
    if not nodes:
        return 0.0
    start = min(node.span.start_ns for node in nodes)
    return round((max(node.span.end_ns for node in nodes) - start) / NS_PER_SECOND, 6)
