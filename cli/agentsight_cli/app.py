"""What the command line offers: names, options and help. The work is done in other modules.

They are imported when a command runs, so that `--help` and completion are quick.
"""

from __future__ import annotations

import enum
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from agentsight_cli.app_certs import certs_app
from agentsight_cli.app_config import config_app
from agentsight_cli.app_dlq import dlq_app
from agentsight_cli.app_plugins import plugins_app
from agentsight_cli.options import Api, ConfigFile, Json, StateDir, configuration

_EPILOG = (
    "Exit status: 0 done; 1 it did not work out; 2 wrong usage, configuration or input; "
    "130 interrupted. `record` passes on the status of its command."
)

app = typer.Typer(
    name="agentsight",
    help="Watch AI agents from outside: what they say to models, what they do, and what caused it.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(config_app, name="config")
app.add_typer(plugins_app, name="plugins")
app.add_typer(dlq_app, name="dlq")
app.add_typer(certs_app, name="certs")


class ReplayFormat(enum.StrEnum):
    """What `replay` prints."""

    spans = "spans"
    tree = "tree"
    summary = "summary"


class TraceFormat(enum.StrEnum):
    """Traces of other systems that `replay` reads."""

    dtrace = "dtrace"
    etw = "etw"


Capture = Annotated[
    str | None,
    typer.Option("--capture", metavar="MODE", help="none, metadata, redacted or full."),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"agentsight {version('agentsight-cluster')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version


@app.command()
def up(
    config: ConfigFile = None,
    state_dir: StateDir = None,
    otlp_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send traces and metrics there, by OTLP."),
    ] = None,
    otlp_protocol: Annotated[
        str | None, typer.Option(metavar="NAME", help="grpc or http/protobuf.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port of /metrics; 0 takes a free one.")
    ] = None,
    json_lines: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all findings into a file.")
    ] = None,
    capture: Capture = None,
) -> None:
    """Run the whole system on this machine until Ctrl-C. Agents are found by themselves."""
    from agentsight_cli import up as command

    flags = {
        "exporters.otlp.endpoint": otlp_endpoint,
        "exporters.otlp.protocol": otlp_protocol,
        "exporters.prometheus.port": metrics_port,
        "exporters.jsonl.path": json_lines,
        "capture.mode": capture,
    }
    command.run(
        partial(configuration, config, state_dir, flags),
        config,
        lambda line: print(f"agentsight: {line}", file=sys.stderr, flush=True),
    )


@app.command(context_settings={"allow_interspersed_args": False})
def record(
    command: Annotated[
        list[str], typer.Argument(metavar="CMD…", help="The command and its arguments, after --.")
    ],
    config: ConfigFile = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Recording to write; a new file."),
    ] = None,
    capture: Capture = None,
    proxy: Annotated[
        bool,
        typer.Option(
            "--proxy",
            help="No probes, no root: a proxy on loopback reads what is said to models.",
        ),
    ] = False,
    json_summary: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not print the tree at the end.")
    ] = False,
) -> None:
    """Watch one command and its children; keep a recording and print what it said and did.

    The tree goes to stderr, the JSON summary to stdout: stdout is the command's own. The exit
    status is that of the command.
    """
    from agentsight_cli import recorded

    found = configuration(config, None, {"capture.mode": capture})
    show = "json" if json_summary else "nothing" if quiet else "tree"
    raise typer.Exit(recorded.run(command, found, output, show, proxy=proxy))


@app.command()
def replay(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Recordings, plain or gzip; - is stdin.")
    ],
    form: Annotated[
        ReplayFormat,
        typer.Option(
            "--format",
            help="spans: one JSON object a line; tree: for people; summary: one JSON object.",
        ),
    ] = ReplayFormat.tree,
    source: Annotated[
        TraceFormat | None,
        typer.Option("--from", help="Take the files for traces of that kind; else they tell."),
    ] = None,
    root: Annotated[
        int | None,
        typer.Option(metavar="PID", help="The process that begins the session of a trace."),
    ] = None,
) -> None:
    """Analyze recordings without root.

    Ours, HAR 1.2 of browsers and proxies, AgentSight's JSON, traces of DTrace and ETW.
    """
    from agentsight_cli import replay as command
    from agentsight_cli.recordings import ReadAs

    read_as = ReadAs(source.value if source else None, root)
    raise typer.Exit(command.run(files, form.value, read_as=read_as))


@app.command()
def tracer(
    system: Annotated[TraceFormat, typer.Argument(help="dtrace for macOS, etw for Windows.")],
) -> None:
    """Print the script that records a trace on another system; how it is run stands in it."""
    from agentsight_agent.backends.traces.formats import FORMATS

    print(FORMATS[system.value].script.read_text(), end="")


@app.command()
def demo(json_summary: Json = False) -> None:
    """Run everything on an example agent, and check that all it said and did was captured."""
    from agentsight_cli.demo import run

    raise typer.Exit(run(json_summary=json_summary))


@app.command()
def sessions(
    session: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Show this session as a tree; its first digits do."),
    ] = None,
    api: Api = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """List the sessions that a running `agentsight up` has seen, or show one of them."""
    from agentsight_cli import sessions as command

    found = configuration(config, state_dir, {})
    raise typer.Exit(command.run(found, api, session, as_json=as_json))


@app.command()
def tail(
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this session; its first digits do.")
    ] = None,
    beginning: Annotated[
        bool, typer.Option("--all", help="Begin with the oldest finding that is kept.")
    ] = False,
    api: Api = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Show findings of a running `agentsight up` as they come, until Ctrl-C."""
    from agentsight_cli import tail as command

    found = configuration(config, state_dir, {})
    wanted = session or ""
    raise typer.Exit(command.run(found, api, wanted, beginning=beginning, as_json=as_json))


@app.command()
def status(
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Show the loss ledger of each process.")
    ] = False,
    api: Api = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> None:
    """Show the processes of a running system, who owns which partition, how full the bus is."""
    from agentsight_cli import status as command

    found = configuration(config, state_dir, {})
    raise typer.Exit(command.run(found, api, ledger=ledger, as_json=as_json))


@app.command()
def doctor(config: ConfigFile = None, state_dir: StateDir = None, as_json: Json = False) -> None:
    """Check what this machine needs: each thing is ok, or what to do about it is said."""
    from agentsight_cli.doctor import run

    raise typer.Exit(run(configuration(config, state_dir, {}), as_json=as_json))
