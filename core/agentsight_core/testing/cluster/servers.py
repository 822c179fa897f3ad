"""The servers of the cluster: nats-server and etcd with the settings that a cluster of ours needs.

Must not know what is stored in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from agentsight_core.bus.server import MAX_PAYLOAD_BYTES, find_program
from agentsight_core.testing.cluster.credentials import Credentials
from agentsight_core.testing.cluster.member import Member
from agentsight_core.testing.cluster.network import Host

NATS_PORT = 4222
_ROUTES_PORT = 6222
_MONITOR_PORT = 8222
_ETCD_PORT = 2379
_ETCD_PEER_PORT = 2380


class NatsMember(Member):
    """One of the JetStream servers."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        peers: Sequence[Host],
        max_store_bytes: int,
        credentials: Credentials | None = None,
    ) -> None:
        config = folder / "nats.conf"
        super().__init__(host, folder, [find_program(), "--config", str(config)])
        self.store = folder / "jetstream"
        text = _nats_config(host, peers, self.store, max_store_bytes)
        if credentials is not None:
            credentials.nats_fragments(folder)
            text = text.replace("cluster {", 'cluster {\n  include "nats-routes.conf"')
            text += 'include "nats-users.conf"\n'
        config.write_text(text)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{self.host.address}:{NATS_PORT}"

    async def healthy(self) -> bool:
        """Whether it takes part: all its streams and consumers are up to date."""
        return await asyncio.to_thread(self._get, "healthz") is not None

    def reload(self) -> None:
        """Have it read its configuration, users and certificates again."""
        os.kill(self.pid, signal.SIGHUP)

    async def clients(self) -> set[str]:
        """Return the names of the connections that it has."""
        found = await asyncio.to_thread(self._get, "connz")
        assert isinstance(found, dict), f"{self.name} does not answer"
        return {connection.get("name", "") for connection in found["connections"]}

    def _get(self, page: str) -> object | None:
        url = f"http://{self.host.address}:{_MONITOR_PORT}/{page}"
        with (
            contextlib.suppress(OSError, urllib.error.URLError, json.JSONDecodeError),
            urllib.request.urlopen(url, timeout=1.0) as answer,
        ):
            found: object = json.load(answer)
            return found
        return None


def _nats_config(host: Host, peers: Sequence[Host], store: Path, max_store_bytes: int) -> str:
    routes = "\n    ".join(f'"nats-route://{peer.address}:{_ROUTES_PORT}"' for peer in peers)
    # Pings and deadlines are short: a server that is cut off has to be noticed by its neighbours.
    return f"""\
server_name: {host.name}
listen: "{host.address}:{NATS_PORT}"
http: "{host.address}:{_MONITOR_PORT}"
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: {16 * MAX_PAYLOAD_BYTES}
ping_interval: "2s"
ping_max: 2
write_deadline: "5s"
lame_duck_duration: 30s
cluster {{
  name: agentsight
  listen: "{host.address}:{_ROUTES_PORT}"
  ping_interval: "2s"
  routes: [
    {routes}
  ]
}}
jetstream {{
  store_dir: {json.dumps(str(store))}
  max_file_store: {max_store_bytes}
  max_memory_store: {64 << 20}
  # Acknowledged means on the disk, not in the page cache.
  sync_interval: always
  limits {{ batch {{ max_inflight_per_stream: 500 }} }}
}}
"""


class EtcdMember(Member):
    """One of the etcd servers."""

    def __init__(
        self,
        host: Host,
        folder: Path,
        peers: Sequence[Host],
        quota_bytes: int = 0,
        credentials: Credentials | None = None,
    ) -> None:
        program = shutil.which("etcd")
        assert program is not None, "etcd-server is not installed: run `make setup-dev`"
        scheme = "https" if credentials else "http"
        urls = {peer.name: f"{scheme}://{peer.address}:{_ETCD_PEER_PORT}" for peer in peers}
        peer_url = urls[host.name]
        url = f"{scheme}://{host.address}:{_ETCD_PORT}"
        cluster = ",".join(f"{name}={peer}" for name, peer in urls.items())
        values = {
            "name": host.name,
            "data-dir": str(folder / "data"),
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": cluster,
            "quota-backend-bytes": str(quota_bytes),
            **(credentials.etcd_flags() if credentials else {}),
        }
        super().__init__(host, folder, [program, *(f"--{key}={v}" for key, v in values.items())])
        self.url = url
