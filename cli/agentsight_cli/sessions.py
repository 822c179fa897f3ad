"""`agentsight sessions`: what a running system has seen."""

from __future__ import annotations

import sys
import time

from agentsight_aggregator.exporters.jsonl import finding_to_json
from agentsight_core.bus.connection import Bus
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import ConfigError
from agentsight_core.ids import session_text
from agentsight_core.pb import findings_pb2 as pb

from agentsight_cli import output, running, tree
from agentsight_cli.text import dollars, duration, shown

_HEAD = ("session", "agent", "state", "turns", "calls", "tools", "in", "out", "cost", "last seen")


def run(config: AgentSightConfig, wanted: str | None, *, as_json: bool) -> int:
    """Print the sessions, or the one whose id begins with `wanted`; return the exit status."""
    return running.run(_run(config, wanted, as_json=as_json))


async def _run(config: AgentSightConfig, wanted: str | None, *, as_json: bool) -> int:
    async with running.open_bus(config) as bus:
        latest = await latest_summaries(bus)
        if wanted is None:
            _print_list(latest, as_json=as_json)
            return 0
        session = find_session(latest, wanted)
        findings = [
            item
            async for item in running.kept_findings(bus, f"findings.*.{session_text(session)}.>")
        ]
    if as_json:
        for item in findings:
            output.print_json(finding_to_json(item), sys.stdout)
    else:
        output.print_tree(tree.build_tree(findings), sys.stdout)
    return 0


async def latest_summaries(bus: Bus) -> dict[int, pb.Finding]:
    """Return the newest summary of each session, oldest session first."""
    latest: dict[int, pb.Finding] = {}
    async for finding in running.kept_findings(bus, running.SUMMARIES):
        latest[finding.session] = finding
    return dict(sorted(latest.items(), key=lambda item: item[1].session_summary.start_ns))


def find_session(sessions: dict[int, pb.Finding], wanted: str) -> int:
    """Return the session whose id begins with `wanted`; ConfigError if none or several do."""
    found = [item for item in sessions if session_text(item).startswith(wanted.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"no session begins with {wanted!r}; `agentsight sessions` lists them")
    names = ", ".join(map(session_text, found))
    raise ConfigError(f"several sessions begin with {wanted!r}: {names}")


def _print_list(sessions: dict[int, pb.Finding], *, as_json: bool) -> None:
    if as_json:
        for finding in sessions.values():
            output.print_json(finding_to_json(finding), sys.stdout)
    elif not sessions:
        print("no sessions yet", file=sys.stderr)
    else:
        now_ns = time.time_ns()
        rows = [_row(finding, now_ns) for finding in sessions.values()]
        output.print_table([_HEAD, *rows], sys.stdout)


def _row(finding: pb.Finding, now_ns: int) -> tuple[str, ...]:
    summary = finding.session_summary
    priced = summary.llm_calls > summary.unpriced_calls
    return (
        session_text(finding.session),
        shown(summary.agent_name, 24),
        "ended" if summary.ended else "running",
        str(summary.turns),
        str(summary.llm_calls),
        str(summary.tool_calls),
        f"{summary.input_tokens:,}",
        f"{summary.output_tokens:,}",
        dollars(summary.cost_usd) if priced else "-",
        f"{duration(max(0, now_ns - summary.last_activity_ns))} ago",
    )
