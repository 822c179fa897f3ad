"""Options that several commands share, and the configuration that they make together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentsight_core.config import AgentSightConfig

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration file (YAML)."),
]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="State directory of `agentsight up`."),
]
Api = Annotated[
    str,
    typer.Option(
        "--api",
        metavar="HOST:PORT",
        help="Ask this aggregator, not the bus of this machine's system.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def configuration(
    file: Path | None, state_dir: Path | None, flags: Mapping[str, object]
) -> AgentSightConfig:
    """Return the configuration of a command: flags win over environment, file and defaults."""
    from agentsight_core.config import load_config  # noqa: PLC0415  --help does not need it

    return load_config(file, os.environ, {"node.state_dir": state_dir, **flags})
