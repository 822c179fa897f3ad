"""The main function that our services share: configuration, logging, signals, exit status."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from agentsight_core.errors import AgentSightError
from agentsight_core.runtime.live_config import LiveConfig
from agentsight_core.runtime.signals import stop_on_signals
from agentsight_core.telemetry.logs import LogSettings, configure_logging

Serve = Callable[[LiveConfig, asyncio.Event], Awaitable[None]]


def run_service(name: str, serve: Serve) -> int:
    """Run `serve` until SIGTERM or SIGINT; return 0, or 1 when it could not start or go on.

    What is no error of ours is a bug: it goes on up, with its traceback.
    """
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (YAML)")
    arguments = parser.parse_args()
    status = 0
    try:
        live = LiveConfig(name.removeprefix("agentsight-"), arguments.config, os.environ)
        logging = live.config.logging
        configure_logging(LogSettings(logging.level.upper(), logging.format))
        asyncio.run(_until_stopped(live, serve))
    except* AgentSightError as group:
        for error in _leaves(group):
            print(f"{name}: {error}", file=sys.stderr)  # noqa: T201  for who started it
        status = 1
    return status


async def _until_stopped(live: LiveConfig, serve: Serve) -> None:
    await serve(live, stop_on_signals())


def _leaves(group: BaseExceptionGroup[AgentSightError]) -> Iterator[AgentSightError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
