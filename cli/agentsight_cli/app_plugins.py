"""`agentsight plugins`: the command line of plugins."""

from __future__ import annotations

import typer

from agentsight_cli.options import ConfigFile, Json, StateDir, configuration

plugins_app = typer.Typer(
    help="Plugins: sources, analyzers and exporters of other packages.", no_args_is_help=True
)


@plugins_app.callback()
def _group() -> None:
    """Keep `ls` a command of its own: typer would leave out the only one."""


@plugins_app.command("ls")
def plugins_list(
    config: ConfigFile = None, state_dir: StateDir = None, as_json: Json = False
) -> None:
    """List what is installed; 1 if something that should take part cannot be used."""
    from agentsight_cli import plugins

    raise typer.Exit(plugins.run_list(configuration(config, state_dir, {}), as_json=as_json))
