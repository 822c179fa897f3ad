"""`agentsight tail`: findings of a running system as they come, in the order of event time."""

from __future__ import annotations

import sys

from agentsight_aggregator.exporters.console import describe
from agentsight_aggregator.exporters.jsonl import finding_to_json
from agentsight_core.config import AgentSightConfig
from agentsight_core.ids import session_text
from agentsight_core.pb import api_pb2

from agentsight_cli import output, running
from agentsight_cli.cluster_api import open_api
from agentsight_cli.text import counted, duration


def run(
    config: AgentSightConfig, address: str, session: str, *, beginning: bool, as_json: bool
) -> int:
    """Print one line for each finding of sessions whose id begins with `session`, until Ctrl-C."""
    try:
        running.run(_run(config, address, session.lower(), beginning=beginning, as_json=as_json))
    except KeyboardInterrupt:
        return 130
    return 0


async def _run(
    config: AgentSightConfig, address: str, session: str, *, beginning: bool, as_json: bool
) -> None:
    request = api_pb2.StreamFindingsRequest(from_beginning=beginning)
    order = api_pb2.MergeAccount()
    try:
        async with open_api(config, address) as api:
            async for answer in api.stream(api.findings.StreamFindings, request):
                order = answer.order
                for finding in answer.findings:
                    if not session_text(finding.session).startswith(session):
                        continue
                    if as_json:
                        output.print_json(finding_to_json(finding), sys.stdout)
                    elif line := describe(finding):
                        print(line)
                sys.stdout.flush()
    finally:
        if order.late:
            late = f"{counted(order.late, 'finding')} of {order.received} came too late"
            print(f"{late}, by {duration(order.max_late_ns)} at most", file=sys.stderr)
