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


@certs_app.command("kubernetes")
def kubernetes(
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="How names of the release begin.")],
    namespace: Annotated[str, typer.Option(metavar="NAMESPACE", help="That of the release.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder of the set; kept for renewals.")
    ] = None,
    agent_namespace: Annotated[
        str, typer.Option(metavar="NAMESPACE", help="That of agents; empty: there are none.")
    ] = "",
    extra_name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One more DNS name of the API; may be given again."),
    ] = None,
    cluster: Annotated[str, typer.Option(metavar="NAME", help="As node.cluster.")] = "default",
    days: Annotated[int, typer.Option(min=1, help="Days that certificates are valid.")] = 365,
    renew: Annotated[bool, typer.Option("--renew", help="Issue certificates anew.")] = False,
    only_keys: Annotated[
        bool, typer.Option("--only-keys", help="Credentials and sealing keys, no certificates.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="With --only-keys, in a pod: write what is missing.")
    ] = False,
) -> None:
    """Print Secrets and ConfigMaps for the Helm chart, for `kubectl apply -f -`."""
    import yaml
    from agentsight_core.errors import ConfigError

    from agentsight_cli.certs import cluster_secrets
    from agentsight_cli.certs import kubernetes as objects

    release = objects.Release(name, namespace, agent_namespace, cluster)
    if apply:
        if not only_keys or folder:
            raise ConfigError("--apply goes with --only-keys, and without a folder")
        written = cluster_secrets.apply_keys(cluster_secrets.ClusterSecrets(), release)
        print(f"written: {', '.join(written) or 'nothing, all is there'}")
        return
    if folder is None:
        raise ConfigError("name a folder for what is made: it is needed again for renewals")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = objects.key_secrets(folder, release)
    if not only_keys:
        extra = tuple(extra_name or ())
        made += objects.certificate_objects(folder, release, extra=extra, days=days, renew=renew)
    print(yaml.safe_dump_all(made, sort_keys=False), end="")


def _show(files: list[tuple[Path, str]]) -> None:
    for path, what in files:
        print(f"{path}  {what}")
