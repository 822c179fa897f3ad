"""Certificates and keys for the Helm chart: Secrets and ConfigMaps, made from a folder.

Agents of all nodes share one credential: pods of a DaemonSet are alike. Must not talk to
Kubernetes.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentsight_cli.certs import users, working_set
from agentsight_cli.certs.authority import Authority
from agentsight_cli.certs.files import write_private

Manifest = dict[str, object]

# Members of NATS and etcd that the certificate of servers is for.
_MEMBERS = 5


@dataclass(frozen=True, slots=True)
class Release:
    """A release of the chart. `name` is how the names of its objects begin."""

    name: str
    namespace: str
    # Empty: there are no agents.
    agent_namespace: str = ""
    cluster: str = "default"


def server_names(release: Release, extra: tuple[str, ...] = ()) -> list[str]:
    """Return the DNS names that the certificate of servers is for."""
    name, namespace = release.name, release.namespace
    services = [
        f"{name}-{service}{end}"
        for service in ("aggregator", "nats")
        for end in ("", f".{namespace}", f".{namespace}.svc")
    ]
    members = [
        f"{name}-{server}-{number}.{name}-{server}-headless.{namespace}.svc"
        for server in ("nats", "etcd")
        for number in range(_MEMBERS)
    ]
    return ["localhost", "127.0.0.1", *services, *members, *extra]


def key_secrets(folder: Path, release: Release) -> list[Manifest]:
    """Make the keys that are missing in `folder`; return their Secrets, in the order to apply."""
    if (folder / working_set.FRAMES_PRIVATE).exists() and not (
        folder / working_set.FRAMES_PUBLIC
    ).exists():
        working_set.rotate_keys(folder)
    working_set.make_keys(folder)
    rights = {"aggregator": users.aggregator_rights(), "operator": users.operator_rights()}
    if release.agent_namespace:
        rights["agent"] = users.shared_agent_rights(release.cluster)
    entries = [
        (role, users.kept_seed(folder / f"{role}.nkey"), may) for role, may in rights.items()
    ]
    write_private(folder / "users.conf", users.authorization(entries))
    return [
        _secret(folder, release, part, namespace, names)
        for part, (namespace, names) in key_files(release).items()
    ]


def key_files(release: Release) -> dict[str, tuple[str, list[str]]]:
    """Return {end of the Secret's name: (its namespace, its files)}."""
    namespace = release.namespace
    readers = [working_set.FRAMES_PRIVATE, working_set.GROUP]
    found = {
        "nats-users": (namespace, ["users.conf"]),
        "operator-keys": (namespace, ["operator.nkey", *readers]),
        "aggregator-keys": (namespace, ["aggregator.nkey", *readers]),
    }
    if release.agent_namespace:
        # Last: aggregators can open what agents seal from now on.
        found["agent-keys"] = (release.agent_namespace, ["agent.nkey", working_set.FRAMES_PUBLIC])
    return found


def restore(folder: Path, data: Mapping[str, str]) -> None:
    """Write the files of a Secret (`data`: name to base64) into `folder`."""
    for name, text in data.items():
        write_private(folder / name, b64decode(text).decode())


def certificate_objects(
    folder: Path, release: Release, *, extra: tuple[str, ...] = (), days: int, renew: bool
) -> list[Manifest]:
    """Make the certificates that are missing in `folder`; return their Secrets and ConfigMaps."""
    servers, agents = Authority(folder, "ca"), Authority(folder, "ca-bus")
    roles = [
        (servers, "server", release.namespace, server_names(release, extra)),
        (servers, "aggregator", release.namespace, ["aggregator"]),
        (servers, "operator", release.namespace, ["operator"]),
    ]
    if release.agent_namespace:
        roles.append((agents, "agent", release.agent_namespace, ["agent"]))
    made: list[Manifest] = []
    for authority, role, namespace, names in roles:
        if renew or not (folder / f"{role}.pem").exists():
            authority.issue(folder, role, names, days)
        files = {"tls.crt": f"{role}.pem", "tls.key": f"{role}.key"}
        made.append(
            _secret(folder, release, f"{role}-tls", namespace, files, kind="kubernetes.io/tls")
        )
    server_pem = servers.certificate_file.read_text()
    trust = {
        "servers.crt": server_pem,
        "clients.crt": server_pem + agents.certificate_file.read_text(),
    }
    for namespace in sorted({release.namespace, release.agent_namespace} - {""}):
        metadata = {"name": "agentsight-trust", "namespace": namespace}
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": trust})
    return made


def _secret(
    folder: Path,
    release: Release,
    part: str,
    namespace: str,
    files: list[str] | dict[str, str],
    *,
    kind: str = "Opaque",
) -> Manifest:
    names = files if isinstance(files, dict) else {name: name for name in files}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{release.name}-{part}", "namespace": namespace},
        "type": kind,
        "data": {
            key: b64encode((folder / name).read_bytes()).decode() for key, name in names.items()
        },
    }
