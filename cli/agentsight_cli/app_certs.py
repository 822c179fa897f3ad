"""`agentsight certs`: the command line of certificates, credentials and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

certs_app = typer.Typer(
    help="Certificates, credentials and keys for a cluster whose wires are secured.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the set.")]


@certs_app.command("init")
def init(
    folder: Folder,
    node: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A node that runs an agent; may be given again."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A DNS name or address of the servers; again as needed."),
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Address of the bus, for the configurations written."),
    ] = None,
    cluster: Annotated[str, typer.Option(metavar="NAME", help="As node.cluster.")] = "default",
    days: Annotated[int, typer.Option(min=1, help="Days that certificates are valid.")] = 365,
    renew: Annotated[
        bool, typer.Option("--renew", help="Issue certificates anew; keys and users stay.")
    ] = False,
) -> None:
    """Make a set, or add nodes to one: CA, certificates, nkeys, sealing keys, configurations."""
    from agentsight_cli.certs import working_set

    wanted = working_set.Wanted(
        cluster=cluster,
        nodes=tuple(node or ()),
        names=tuple(name or ()),
        servers=tuple(server or ()),
        days=days,
        renew=renew,
    )
    _show(working_set.make_set(folder, wanted))


@certs_app.command("rotate")
def rotate(folder: Folder) -> None:
    """Add a new sealing key of each kind; what the old ones sealed can still be opened."""
    from agentsight_cli.certs import working_set

    _show(working_set.rotate_keys(folder))


def _show(files: list[tuple[Path, str]]) -> None:
    for path, what in files:
        print(f"{path}  {what}")
