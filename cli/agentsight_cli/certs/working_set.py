"""Lays out everything that a cluster with secured wires needs, and adds to it later.

What is there stays: a second call adds nodes and what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from agentsight_core import sealing
from agentsight_core.bus import subjects
from agentsight_core.errors import ConfigError

from agentsight_cli.certs import users
from agentsight_cli.certs.authority import Authority
from agentsight_cli.certs.files import write_private

FRAMES_PUBLIC = "frames.public"
FRAMES_PRIVATE = "frames.private"
GROUP = "group.key"

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ROLES = {
    "aggregator": users.aggregator_rights,
    "operator": users.operator_rights,
    "reader": users.reader_rights,
}
_NODE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
# Sealed with a key that is this many rotations old, nothing is left on the bus.
_KEPT_KEYS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the set is for."""

    cluster: str = "default"
    nodes: tuple[str, ...] = ()
    # DNS names and addresses under which servers are reached, beside those of loopback.
    names: tuple[str, ...] = ()
    # Addresses of the bus, for the configurations that are written.
    servers: tuple[str, ...] = ()
    days: int = 365
    # Issue certificates anew that are there already.
    renew: bool = False


def make_set(folder: Path, wanted: Wanted) -> list[tuple[Path, str]]:
    """Make what `wanted` asks for and is missing; return the files and what each is for."""
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be used: {error.strerror}") from error
    _make_certificates(folder, wanted)
    make_keys(folder)
    known = _write_users(folder, wanted)
    write_private(folder / "nats-routes.conf", users.route_config(folder))
    _write_configs(folder, wanted, known)
    return _contents(known, folder)


def rotate_keys(folder: Path) -> list[tuple[Path, str]]:
    """Put a new sealing key of each kind before the old ones, which go on opening."""
    private, public = sealing.new_frames_pair()
    group = sealing.new_group_key()
    for name, new in ((FRAMES_PRIVATE, private), (GROUP, group)):
        path = folder / name
        try:
            old = path.read_text().splitlines(keepends=True)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; `agentsight certs init` first") from error
        write_private(path, "".join([new, *old][:_KEPT_KEYS]))
    # Last: aggregators can open what agents seal from now on.
    write_private(folder / FRAMES_PUBLIC, public)
    return [
        (folder / FRAMES_PRIVATE, "first, to every aggregator: a new key, and the old ones"),
        (folder / GROUP, "first, to every aggregator and reader: a new key, and the old ones"),
        (folder / FRAMES_PUBLIC, "then to every node: agents seal for the new key at once"),
    ]


def _make_certificates(folder: Path, wanted: Wanted) -> None:
    authority = Authority(folder, "ca")
    _issue(authority, folder, "server", (*_LOOPBACK, *wanted.names), wanted)
    for role in ("aggregator", "operator"):
        _issue(authority, folder, role, (role,), wanted)
    # etcd and the API let everybody in whose certificate they can check: not these.
    others = Authority(folder, "ca-bus")
    _issue(others, folder, "reader", ("reader",), wanted)
    for node in wanted.nodes:
        _issue(others, folder, _file_name(node), (node,), wanted)
    known = (one.certificate_file.read_text() for one in (authority, others))
    write_private(folder / "bus-clients.pem", "".join(known))


def _issue(
    authority: Authority, folder: Path, name: str, names: Sequence[str], wanted: Wanted
) -> None:
    if wanted.renew or not (folder / f"{name}.pem").exists():
        authority.issue(folder, name, names, wanted.days)


def make_keys(folder: Path) -> None:
    """Make the sealing keys that are missing in `folder`."""
    if not (folder / FRAMES_PRIVATE).exists():
        private, public = sealing.new_frames_pair()
        write_private(folder / FRAMES_PRIVATE, private)
        write_private(folder / FRAMES_PUBLIC, public)
    if not (folder / GROUP).exists():
        write_private(folder / GROUP, sealing.new_group_key())


def _write_users(folder: Path, wanted: Wanted) -> list[str]:
    """Write the server's configuration with all users of the folder; return all nodes."""
    for node in wanted.nodes:
        users.kept_seed(folder / f"{_file_name(node)}.nkey")
    nodes = sorted(path.stem.removeprefix("node-") for path in folder.glob("node-*.nkey"))
    _check_distinct(nodes)
    entries = [
        (role, users.kept_seed(folder / f"{role}.nkey"), rights())
        for role, rights in _ROLES.items()
    ]
    entries += [
        (
            f"agent on {node}",
            users.kept_seed(folder / f"{_file_name(node)}.nkey"),
            users.agent_rights(wanted.cluster, node),
        )
        for node in nodes
    ]
    write_private(folder / "nats-users.conf", users.server_config(folder, entries))
    return nodes


def _check_distinct(nodes: Sequence[str]) -> None:
    tokens: dict[str, str] = {}
    for node in nodes:
        other = tokens.setdefault(subjects.token(node), node)
        if other != node:
            raise ConfigError(f"the nodes {other} and {node} have the same name on the bus")


def _write_configs(folder: Path, wanted: Wanted, nodes: Sequence[str]) -> None:
    results = {"group_file": str(folder / GROUP)}
    private = {**results, "frames_private_file": str(folder / FRAMES_PRIVATE)}
    public = {"frames_public_file": str(folder / FRAMES_PUBLIC)}
    cluster = {"cluster": wanted.cluster}
    own, served = _tls_files(folder, "aggregator"), _tls_files(folder, "server")
    more = {"coordination": own, "api": served}
    _write_config(folder, "aggregator", wanted, cluster, private, more)
    more = {"api": _tls_files(folder, "operator")}
    # Who opens a dead letter may repair it, and seals it then.
    _write_config(folder, "operator", wanted, cluster, {**private, **public}, more)
    _write_config(folder, "reader", wanted, cluster, results, {})
    for node in nodes:
        _write_config(folder, _file_name(node), wanted, {**cluster, "name": node}, public, {})


def _tls_files(folder: Path, name: str) -> dict[str, str]:
    return {
        "ca_file": str(folder / "ca.pem"),
        "certificate_file": str(folder / f"{name}.pem"),
        "key_file": str(folder / f"{name}.key"),
    }


def _write_config(
    folder: Path,
    name: str,
    wanted: Wanted,
    node: dict[str, str],
    seal: dict[str, str],
    more: dict[str, dict[str, str]],
) -> None:
    path = folder / f"{name}.yaml"
    if path.exists() and not wanted.servers:
        return
    bus: dict[str, object] = {
        "nkey_file": str(folder / f"{name}.nkey"),
        "tls": _tls_files(folder, name),
    }
    if wanted.servers:
        bus |= {"embedded": False, "servers": list(wanted.servers)}
    values = {"node": node, "bus": bus, "security": {"seal": seal}, **more}
    write_private(path, yaml.safe_dump(values, sort_keys=False))


def _file_name(node: str) -> str:
    if not _NODE.fullmatch(node):
        raise ConfigError(f"node name {node!r}: letters, digits, '.', '_' and '-' are allowed")
    return f"node-{node}"


def _contents(nodes: Sequence[str], folder: Path) -> list[tuple[Path, str]]:
    files = {
        "ca.pem": "authority of servers, aggregators and operators; for everybody",
        "ca-bus.pem": "authority of nodes and readers, whom only the bus lets in",
        "ca.key": "key of an authority; keep it offline",
        "ca-bus.key": "key of an authority; keep it offline",
        "bus-clients.pem": "nats-server: both authorities",
        "server.pem, .key": "nats-server, etcd, the API",
        "nats-users.conf": "nats-server: include it; TLS, users and what each may do",
        "nats-routes.conf": "nats-server: include it in the cluster block",
        "aggregator.pem, .key, .nkey, .yaml": "aggregators",
        "operator.pem, .key, .nkey, .yaml": "people who change configuration and dead letters",
        "reader.pem, .key, .nkey, .yaml": "people who look at results",
        FRAMES_PRIVATE: "aggregators: opens frames",
        FRAMES_PUBLIC: "nodes, and operators who repair dead letters: seals frames",
        GROUP: "aggregators and readers: seals and opens findings and checkpoints",
    }
    files |= {f"node-{node}.pem, .key, .nkey, .yaml": f"the agent on {node}" for node in nodes}
    return [(folder / name, what) for name, what in files.items()]
