"""`agentsight tail`: findings of a running system as they come."""

from __future__ import annotations

import sys

from agentsight_aggregator.exporters.console import describe
from agentsight_aggregator.exporters.jsonl import finding_to_json
from agentsight_core.config import AgentSightConfig
from agentsight_core.ids import session_text

from agentsight_cli import output, running


def run(config: AgentSightConfig, session: str, *, beginning: bool, as_json: bool) -> int:
    """Print one line for each finding of sessions whose id begins with `session`, until Ctrl-C."""
    try:
        running.run(_run(config, session.lower(), beginning=beginning, as_json=as_json))
    except KeyboardInterrupt:
        return 130
    return 0


async def _run(config: AgentSightConfig, session: str, *, beginning: bool, as_json: bool) -> None:
    async with running.open_bus(config) as bus:
        async for finding in running.coming_findings(bus, running.ALL, beginning=beginning):
            if not session_text(finding.session).startswith(session):
                continue
            if as_json:
                output.print_json(finding_to_json(finding), sys.stdout)
            elif line := describe(finding):
                print(line)
            sys.stdout.flush()
