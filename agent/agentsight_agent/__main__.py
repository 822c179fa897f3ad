"""`python -m agentsight_agent [--config FILE]`: the agent of one node, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from agentsight_core.config.loading import load_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import AgentSightError
from agentsight_core.runtime.signals import stop_on_signals
from agentsight_core.telemetry.logs import LogSettings, configure_logging

from agentsight_agent.service import serve


def main() -> int:
    """Run until a signal; 0 = ended as asked, 1 = could not start or go on."""
    parser = argparse.ArgumentParser(prog="agentsight-agent", description=__doc__)
    parser.add_argument("--config", type=Path, help="configuration file (YAML)")
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, os.environ)
        configure_logging(LogSettings(config.logging.level.upper(), config.logging.format))
        asyncio.run(_run(config))
    except AgentSightError as error:
        print(f"agentsight-agent: {error}", file=sys.stderr)  # noqa: T201  the user's terminal
        return 1
    return 0


async def _run(config: AgentSightConfig) -> None:
    await serve(config, stop_on_signals())


if __name__ == "__main__":
    sys.exit(main())
