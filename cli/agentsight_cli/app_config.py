"""`agentsight config`: the command line of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentsight_cli.options import Api, ConfigFile, Json, StateDir, configuration

if TYPE_CHECKING:
    from agentsight_core.config import AgentSightConfig

config_app = typer.Typer(
    help="The configuration: check a file; see and change what the whole cluster runs.",
    no_args_is_help=True,
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="For example capture.mode.")]


@config_app.command("check")
def config_check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file to check.")],
) -> None:
    """Say all that is wrong with a configuration file; 2 if anything is."""
    from agentsight_core.config import load_config

    # The file alone: what this shell's environment says is not its fault.
    config: AgentSightConfig = load_config(file, {})
    print(f"{file}: ok; capture mode {config.capture.mode}, {len(config.sessions.rules)} rules")


@config_app.command("get")
def config_get(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Only this key or section.")] = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    api: Api = "",
    as_json: Json = False,
) -> None:
    """Show what is set for the whole cluster."""
    from agentsight_cli import cluster_config

    found = configuration(config, state_dir, {})
    raise typer.Exit(cluster_config.run_get(found, api, key, as_json=as_json))


@config_app.command("set")
def config_set(
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Lists and mappings as YAML.")],
    config: ConfigFile = None,
    state_dir: StateDir = None,
    api: Api = "",
) -> None:
    """Set a key for all agents and aggregators; it takes effect without a restart."""
    from agentsight_cli import cluster_config

    raise typer.Exit(cluster_config.run_set(configuration(config, state_dir, {}), api, key, value))


@config_app.command("unset")
def config_unset(
    key: Key, config: ConfigFile = None, state_dir: StateDir = None, api: Api = ""
) -> None:
    """Let each node have its own value of a key again."""
    from agentsight_cli import cluster_config

    raise typer.Exit(cluster_config.run_set(configuration(config, state_dir, {}), api, key, None))


@config_app.command("apply")
def config_apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file; - is stdin.")],
    config: ConfigFile = None,
    state_dir: StateDir = None,
    api: Api = "",
) -> None:
    """Replace everything that is set for the cluster by a file."""
    from agentsight_cli import cluster_config

    raise typer.Exit(cluster_config.run_apply(configuration(config, state_dir, {}), api, file))


@config_app.command("history")
def config_history(
    config: ConfigFile = None,
    state_dir: StateDir = None,
    api: Api = "",
    as_json: Json = False,
) -> None:
    """List the generations of the cluster's configuration, newest first."""
    from agentsight_cli import cluster_config

    found = configuration(config, state_dir, {})
    raise typer.Exit(cluster_config.run_history(found, api, as_json=as_json))


@config_app.command("rollback")
def config_rollback(
    generation: Annotated[
        int, typer.Argument(metavar="GENERATION", help="As `history` shows it; 0: nothing set.")
    ],
    config: ConfigFile = None,
    state_dir: StateDir = None,
    api: Api = "",
) -> None:
    """Make an older generation the newest again."""
    from agentsight_cli import cluster_config

    found = configuration(config, state_dir, {})
    raise typer.Exit(cluster_config.run_rollback(found, api, generation))


@config_app.command("status")
def config_status(
    config: ConfigFile = None,
    state_dir: StateDir = None,
    api: Api = "",
    as_json: Json = False,
) -> None:
    """Show which generation each agent and aggregator runs; 1 if one is behind or refused it."""
    from agentsight_cli import cluster_config

    found = configuration(config, state_dir, {})
    raise typer.Exit(cluster_config.run_status(found, api, as_json=as_json))
