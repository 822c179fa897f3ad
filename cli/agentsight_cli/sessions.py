"""`agentsight sessions`: what a running system has seen."""

from __future__ import annotations

import sys
import time

from agentsight_aggregator.exporters.jsonl import finding_to_json
from agentsight_core.bus.failures import NotFound
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import ConfigError
from agentsight_core.ids import session_text
from agentsight_core.pb import api_pb2
from agentsight_core.pb import findings_pb2 as pb

from agentsight_cli import output, running, tree
from agentsight_cli.cluster_api import Api, open_api
from agentsight_cli.text import dollars, duration, shown

_HEAD = ("session", "agent", "state", "turns", "calls", "tools", "in", "out", "cost", "last seen")
_PAGE = 500


def run(config: AgentSightConfig, address: str, wanted: str | None, *, as_json: bool) -> int:
    """Print the sessions, or the one whose id begins with `wanted`; return the exit status."""
    return running.run(_run(config, address, wanted, as_json=as_json))


async def _run(config: AgentSightConfig, address: str, wanted: str | None, *, as_json: bool) -> int:
    async with open_api(config, address) as api:
        if wanted is None:
            _print_list(await _sessions(api), as_json=as_json)
            return 0
        findings = await _findings(api, await _session_id(api, wanted))
    if as_json:
        for item in findings:
            output.print_json(finding_to_json(item), sys.stdout)
    else:
        output.print_tree(tree.build_tree(findings), sys.stdout)
    return 0


async def _sessions(api: Api) -> list[pb.Finding]:
    """Return the newest summary of each session, oldest session first."""
    request = api_pb2.ListSessionsRequest(page_size=_PAGE)
    # One that changes meanwhile comes again, newer.
    latest = {
        finding.session: finding
        async for page in api.pages(api.sessions.ListSessions, request)
        for finding in page.sessions
    }
    return sorted(latest.values(), key=lambda finding: finding.session_summary.start_ns)


async def _session_id(api: Api, wanted: str) -> str:
    request = api_pb2.GetSessionRequest(session=wanted)
    try:
        found = await api.ask(api.sessions.GetSession, request)
    except NotFound as error:
        raise ConfigError(f"{error}; `agentsight sessions` lists them") from error
    return session_text(found.session)


async def _findings(api: Api, session: str) -> list[pb.Finding]:
    request = api_pb2.QueryFindingsRequest(
        filter=api_pb2.FindingsFilter(session=session), page_size=_PAGE
    )
    answers = api.pages(api.findings.QueryFindings, request)
    return [finding async for page in answers for finding in page.findings]


def _print_list(sessions: list[pb.Finding], *, as_json: bool) -> None:
    if as_json:
        for finding in sessions:
            output.print_json(finding_to_json(finding), sys.stdout)
    elif not sessions:
        print("no sessions yet", file=sys.stderr)
    else:
        now_ns = time.time_ns()
        rows = [_row(finding, now_ns) for finding in sessions]
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
