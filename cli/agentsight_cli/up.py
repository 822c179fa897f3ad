"""`agentsight up`: the whole system on this machine until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentsight_core.config.models import AgentSightConfig
from agentsight_core.runtime.signals import stop_on_signals

from agentsight_cli.system import LocalSystem


def run(config: AgentSightConfig, tell: Callable[[str], None]) -> None:
    """Run until a signal; `tell` gets one line for the user at each step.

    Raises AgentSightError when the system cannot start.
    """
    asyncio.run(_run(config, tell))


async def _run(config: AgentSightConfig, tell: Callable[[str], None]) -> None:
    stop = stop_on_signals()
    tell("starting")
    async with LocalSystem(config) as system:
        tell(f"ready; metrics at {system.telemetry_url('aggregator')}/metrics")
        await stop.wait()
        tell("stopping: delivering what was seen")
    tell("stopped")
