"""Who may do what on the bus: nkeys, and the nats-server configuration that knows them.

An agent publishes the events of its own node and reads nothing but the cluster's configuration.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nkeys
from agentsight_core.bus import subjects

from agentsight_cli.certs.files import write_private

# Streams that a reader of results may look at.
_READABLE = (
    subjects.FINDINGS,
    subjects.DLQ,
    f"KV_{subjects.SESSIONS}",
    f"KV_{subjects.CONFIG}",
    f"KV_{subjects.STATUS}",
)


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects, in the wildcards of NATS."""

    publish: Sequence[str]
    subscribe: Sequence[str]


def agent_rights(cluster: str, node: str) -> Rights:
    """Return what the agent on `node` may do."""
    events, inbox = subjects.node_events(cluster, node), subjects.node_inbox(node)
    return _agent_rights(events, subjects.token(node), inbox)


def shared_agent_rights(cluster: str) -> Rights:
    """Return what agents of all nodes may do that share a credential: write for each other."""
    events = f"ev.{subjects.token(cluster)}.*.*"
    return _agent_rights(events, "*", subjects.shared_inbox())


def _agent_rights(events: str, node: str, inbox: str) -> Rights:
    status = f"$KV.{subjects.STATUS}.agent.{node}"
    return Rights(
        publish=[
            events,
            f"$JS.API.STREAM.MSG.GET.KV_{subjects.CONFIG}",
            # What it runs, and how it is.
            status,
            f"{status}.note",
        ],
        subscribe=[f"{inbox}.>"],
    )


def aggregator_rights() -> Rights:
    """Return what an aggregator may do: everything that JetStream offers, no foreign inbox."""
    return _writer_rights("aggregator")


def operator_rights() -> Rights:
    """Return what a person may do who changes the configuration and works on dead letters."""
    return _writer_rights("cli")


def reader_rights() -> Rights:
    """Return what a person may do who looks at results."""
    # How full EVENTS is, not what is in it.
    reads = ["$JS.API.INFO", "$JS.FC.>", f"$JS.API.STREAM.INFO.{subjects.EVENTS}"]
    for stream in _READABLE:
        reads += [
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.STREAM.MSG.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}",
            f"$JS.API.DIRECT.GET.{stream}.>",
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.>",
            f"$JS.API.CONSUMER.INFO.{stream}.*",
            f"$JS.API.CONSUMER.DELETE.{stream}.*",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.*",
        ]
    return Rights(reads, [f"{subjects.role_inbox('cli')}.>"])


def _writer_rights(role: str) -> Rights:
    return Rights(
        publish=[
            "$JS.API.>",
            "$JS.ACK.>",
            "$JS.FC.>",
            "$KV.>",
            "findings.>",
            "dlq.>",
            "tick.*",
            # Dead letters that are sent again.
            "ev.*.*.*",
        ],
        subscribe=[f"{subjects.role_inbox(role)}.>"],
    )


def kept_seed(path: Path) -> str:
    """Return the public key of the seed in `path`, which is made if there is none."""
    if not path.exists():
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        write_private(path, f"{bytes(seed).decode()}\n")
    pair = nkeys.from_seed(bytearray(path.read_text().strip().encode()))
    return str(pair.public_key.decode())


def server_config(folder: Path, users: Sequence[tuple[str, str, Rights]]) -> str:
    """Return a fragment for nats-server; `users` are (name, public key, rights)."""
    return f"""\
# Made by `agentsight certs`. In nats-server's configuration: include "nats-users.conf"
{_tls(folder)}
{authorization(users)}"""


def authorization(users: Sequence[tuple[str, str, Rights]]) -> str:
    """Return the block that says who may do what; `users` are (name, public key, rights)."""
    entries = "\n".join(_user(*user) for user in users)
    return f"""\
authorization {{
  users: [
{entries}
  ]
}}
"""


def route_config(folder: Path) -> str:
    """Return a fragment for the `cluster` block of nats-server."""
    return f"""\
# Made by `agentsight certs`. In the cluster {{ }} block: include "nats-routes.conf"
tls {{
{_files(folder, "ca.pem")}
  verify: true
}}
"""


def _tls(folder: Path) -> str:
    return f"""\
tls {{
{_files(folder, "bus-clients.pem")}
  # Clients show a certificate, and begin with TLS before this server has said a word.
  verify: true
  # Two seconds to begin, as machines are busy and networks slow; then for clients that cannot.
  handshake_first: "2s"
}}"""


def _files(folder: Path, authorities: str) -> str:
    return f"""\
  ca_file: {json.dumps(str(folder / authorities))}
  cert_file: {json.dumps(str(folder / "server.pem"))}
  key_file: {json.dumps(str(folder / "server.key"))}"""


def _user(name: str, public_key: str, rights: Rights) -> str:
    publish = f"allow: {json.dumps(list(rights.publish))}"
    return f"""\
    # {name}
    {{ nkey: {public_key}, permissions: {{
        publish: {{ {publish} }}
        subscribe: {{ allow: {json.dumps(list(rights.subscribe))} }}
    }} }}"""
