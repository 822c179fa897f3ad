"""`agentsight record --proxy -- CMD`: without probes and privileges, what a program says to models.

Its base-URL variables lead it to a proxy on loopback. What cannot be seen so is said at the end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentsight_agent.backends.proxy.backend import ProxyBackend
from agentsight_agent.backends.proxy.listener import RecordingProxy
from agentsight_agent.backends.proxy.routes import find_routes
from agentsight_agent.backends.tree import ProcessTree
from agentsight_agent.backends.watcher import BackendWatcher
from agentsight_agent.enrich.boot import read_node, wall_offset_ns
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.redact.key import redaction_key
from agentsight_agent.sessions.rules import SessionRule
from agentsight_core.clocks import boot_ns
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.errors import ConfigError
from agentsight_core.parsers.http1 import HttpSettings
from agentsight_core.recordings.frames import RecordingWriter
from agentsight_core.telemetry.ledger import Ledger

from agentsight_cli.child import (
    WaitingChild,
    open_writer,
    shell_status,
    terminal_left_to_the_command,
    wait_for,
)
from agentsight_cli.recording import Recorded

_RULE = SessionRule(name="record --proxy")
_PERIOD_S = 0.02
_EXTRA_AUTHORITIES = "NODE_EXTRA_CA_CERTS"
_UNSEEN = (
    "files, connections other than those to models, signals, standard streams",
    "processes that lived only some 50 ms; how child processes ended",
    "calls of programs that follow no base-URL variable, and calls signed for a host (Bedrock)",
)


def run(command: Sequence[str], config: AgentSightConfig, output: Path) -> Recorded:
    """Run `command` to its end and record it into `output`, which must not exist yet.

    Raises AgentSightError when watching is not possible; the command has not started then.
    """
    _check(os.environ)
    child = WaitingChild.fork(command)
    try:
        return asyncio.run(_record(child, command, config, output))
    finally:
        child.abandon()


def _check(environment: Mapping[str, str]) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        if environment.get(name):
            raise ConfigError(f"{name} is set: record --proxy does not go through another proxy")


async def _record(
    child: WaitingChild, command: Sequence[str], config: AgentSightConfig, output: Path
) -> Recorded:
    ledger = Ledger()
    routes = find_routes(os.environ)
    backend = ProxyBackend(child.pid, wall_offset_ns=wall_offset_ns())
    proxy = RecordingProxy(routes, backend, ledger.stage("proxy", "connections"))
    _trust(proxy)
    writer = open_writer(output)
    try:
        watcher = _watcher(child.pid, backend, config, writer, ledger)
        stop = asyncio.Event()
        async with proxy:
            exe = _program(command[0])
            if exe:
                backend.begin(tuple(command), exe, str(Path.cwd()), boot_ns())
            watching = asyncio.create_task(watcher.run(stop, _PERIOD_S))
            with terminal_left_to_the_command():
                child.start({**proxy.environment, **_past_proxies(os.environ)})
                code = await wait_for(child.pid, watching)
            await proxy.settle()
        backend.end(code, boot_ns())
        stop.set()
        await watching
        await watcher.finish()
    finally:
        await writer.close()
    return Recorded(shell_status(code), ledger.as_dict(), _unseen(backend, routes))


def _program(name: str) -> str:
    """Return the path of what will be executed, "" if there is no such program."""
    found = shutil.which(name)
    return os.path.realpath(found) if found else ""


def _trust(proxy: RecordingProxy) -> None:
    file = os.environ.get(_EXTRA_AUTHORITIES)
    if file:
        try:
            proxy.trust(file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{_EXTRA_AUTHORITIES}: {file}: {error.strerror or error}") from None


def _watcher(
    pid: int,
    backend: ProxyBackend,
    config: AgentSightConfig,
    writer: RecordingWriter,
    ledger: Ledger,
) -> BackendWatcher:
    node = read_node(config.node.cluster, config.node.name)
    redactor = Redactor(CaptureMode(config.capture.mode), redaction_key(config.node.state_dir))
    tree = ProcessTree(node, pid, _RULE, wall_offset_ns())
    http = HttpSettings(max_body_bytes=config.capture.max_body_bytes)
    return BackendWatcher(backend, tree, node, redactor, writer, ledger, http)


def _past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what keeps programs from going to loopback through an HTTP proxy."""
    return {
        name: ",".join(filter(None, (environment.get(name), "127.0.0.1")))
        for name in ("NO_PROXY", "no_proxy")
    }


def _unseen(backend: ProxyBackend, routes: Mapping[str, object]) -> tuple[str, ...]:
    said = [*_UNSEEN]
    if backend.unplaced:
        said.append(f"who made {backend.unplaced} connections: they are shown as the command's")
    if not backend.connections:
        said.append(
            f"nothing came through the proxy; it is told to programs by {', '.join(sorted(routes))}"
        )
    return tuple(said)
