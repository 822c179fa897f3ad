"""`agentsight dlq`: the command line of dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentsight_cli.options import Api, ConfigFile, Json, StateDir, configuration

dlq_app = typer.Typer(
    help="Dead letters: what a stage could not take, kept for people to look at.",
    no_args_is_help=True,
)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `dlq ls` shows it.")]
Stage = Annotated[
    str, typer.Option(metavar="NAME", help="Only letters of this stage, for example decode.")
]


@dlq_app.command("ls")
def list_letters(
    stage: Stage = "",
    api: Api = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """List dead letters, oldest first."""
    from agentsight_cli import dead_letters

    found = configuration(config, state_dir, {})
    raise typer.Exit(dead_letters.run_list(found, api, stage, as_json=as_json))


@dlq_app.command("show")
def show_letter(
    number: Number,
    api: Api = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Show one dead letter and, as far as they can be read, the events in it."""
    from agentsight_cli import dead_letters

    found = configuration(config, state_dir, {})
    raise typer.Exit(dead_letters.run_show(found, api, number, as_json=as_json))


@dlq_app.command("replay")
def replay_letters(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER…", help="As `dlq ls` shows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    repaired: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Send what is in FILE in place of the one letter: the output of "
            "`dlq show NUMBER --json`, with header and events put right.",
        ),
    ] = None,
    api: Api = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Send dead letters through the system again; 1 if one could not be sent."""
    from agentsight_cli import dead_letters

    if bool(numbers) == everything:
        raise typer.BadParameter("give numbers, or --all")
    if repaired is not None and len(numbers or []) != 1:
        raise typer.BadParameter("--repaired goes with one number")
    found = configuration(config, state_dir, {})
    raise typer.Exit(dead_letters.run_replay(found, api, numbers or [], repaired))


@dlq_app.command("purge")
def purge_letters(
    stage: Stage = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    api: Api = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> None:
    """Throw dead letters away."""
    from agentsight_cli import dead_letters

    if not yes:
        typer.confirm(f"Throw away all dead letters{f' of {stage}' if stage else ''}?", abort=True)
    found = configuration(config, state_dir, {})
    raise typer.Exit(dead_letters.run_purge(found, api, stage))
