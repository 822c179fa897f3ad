"""`agentsight up`: the whole system on this machine until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from agentsight_core.config.loading import config_path
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.config.watched_file import WatchedFile
from agentsight_core.errors import ConfigError
from agentsight_core.runtime.signals import stop_on_signals

from agentsight_cli.system import LocalSystem

_POLL_S = 1.0

Tell = Callable[[str], None]


def run(load: Callable[[], AgentSightConfig], file: Path | None, tell: Tell) -> None:
    """Run until a signal; `tell` gets one line for the user at each step.

    `load` reads the configuration, `file` included, now and whenever the file has changed. Raises
    AgentSightError when the system cannot start.
    """
    asyncio.run(_run(load, config_path(file, os.environ), tell))


async def _run(load: Callable[[], AgentSightConfig], file: Path | None, tell: Tell) -> None:
    stop = stop_on_signals()
    watched = WatchedFile(file) if file else None
    if watched:
        watched.take()
    tell("starting")
    async with LocalSystem(load()) as system:
        tell(f"ready; metrics at {system.telemetry_url('aggregator')}/metrics")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_follow(watched, load, system, tell))
            await stop.wait()
            watching.cancel()
        tell("stopping: delivering what was seen")
    tell("stopped")


async def _follow(
    watched: WatchedFile | None,
    load: Callable[[], AgentSightConfig],
    system: LocalSystem,
    tell: Tell,
) -> None:
    """Hand changes of the file on until cancelled; a bad one changes nothing."""
    while watched is not None:
        await asyncio.sleep(_POLL_S)
        try:
            if watched.poll() is not None:
                system.reload(load())
                tell(f"{watched.path} has changed")
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            tell(f"the changed configuration is refused, the last good one stays:\n{error}")
