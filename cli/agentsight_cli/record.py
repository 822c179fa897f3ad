"""`agentsight record -- CMD`: watch one command and its children, without a bus, into a file.

The command keeps its terminal, runs as the user who called sudo, and its exit status is returned.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agentsight_agent.agent import STAGES, Agent
from agentsight_agent.enrich.boot import read_node
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.redact.key import redaction_key
from agentsight_agent.sessions.rules import SessionRule
from agentsight_agent.settings import agent_settings
from agentsight_agent.tls.command import resolve_command
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.telemetry.ledger import Ledger

from agentsight_cli.child import (
    WaitingChild,
    open_writer,
    shell_status,
    terminal_left_to_the_command,
    wait_for,
)
from agentsight_cli.recording import Recorded

_RULE = SessionRule(name="record")


def run(command: Sequence[str], config: AgentSightConfig, output: Path) -> Recorded:
    """Run `command` to its end and record it into `output`, which must not exist yet.

    Raises AgentSightError when watching is not possible; the command has not started then.
    """
    child = WaitingChild.fork(command)
    try:
        return asyncio.run(_record(child, command, config, output))
    finally:
        child.abandon()


async def _record(
    child: WaitingChild, command: Sequence[str], config: AgentSightConfig, output: Path
) -> Recorded:
    ledger = Ledger()
    for name, unit in STAGES:
        ledger.stage(name, unit)
    node = read_node(config.node.cluster, config.node.name)
    redactor = Redactor(CaptureMode(config.capture.mode), redaction_key(config.node.state_dir))
    # Nobody else is of interest: what is not the command costs nothing.
    settings = agent_settings(config)
    settings = replace(settings, rules=(), kernel=replace(settings.kernel, discover=False))
    writer = open_writer(output)
    try:
        async with Agent(settings, node, redactor, writer, ledger) as agent:
            await agent.prepare(
                resolve_command(command, os.environ.get("PATH", os.defpath), str(Path.cwd()))
            )
            agent.begin_session(child.pid, _RULE)
            stop = asyncio.Event()
            watching = asyncio.create_task(agent.run(stop))
            with terminal_left_to_the_command():
                child.start()
                code = await wait_for(child.pid, watching)
            stop.set()
            await watching
    finally:
        await writer.close()
    return Recorded(shell_status(code), ledger.as_dict())
