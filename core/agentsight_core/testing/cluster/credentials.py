"""Certificates, nkeys and sealing keys of a test cluster, as `agentsight certs` makes them.

The command is run, not imported: what a person would type is what is tested. Must not start
servers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.runtime.tls import TlsFiles
from agentsight_core.sealing import Opener
from agentsight_core.testing.cluster.network import run


@dataclass(frozen=True, slots=True)
class Credentials:
    """A working set in `folder`."""

    folder: Path

    async def make(self, *, nodes: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        """Make what is missing; `names` are addresses of servers."""
        options = [*(f"--node={node}" for node in nodes), *(f"--name={name}" for name in names)]
        await self._certs("init", "--cluster=test", *options)

    async def renew(self, names: Sequence[str], nodes: Sequence[str]) -> None:
        """Issue all certificates anew."""
        options = [*(f"--node={node}" for node in nodes), *(f"--name={name}" for name in names)]
        await self._certs("init", "--cluster=test", "--renew", *options)

    async def rotate(self) -> None:
        """Put new sealing keys before the old ones."""
        await self._certs("rotate")

    async def _certs(self, word: str, *options: str) -> None:
        await run(sys.executable, "-m", "agentsight_cli", "certs", word, str(self.folder), *options)

    def config(self, role: str) -> Path:
        """Return the configuration that the command made for `aggregator`, `operator`, `node-…`."""
        return self.folder / f"{role}.yaml"

    def tls(self, role: str) -> TlsFiles:
        """Return the files that `role` shows."""
        folder = self.folder
        return TlsFiles(folder / "ca.pem", folder / f"{role}.pem", folder / f"{role}.key")

    def opener(self) -> Opener:
        """Return what opens frames."""
        return Opener(self.folder / "frames.private")

    def nats_fragments(self, folder: Path) -> None:
        """Put the fragments for nats-server beside its configuration, as it wants to include them.

        Links: a set to which a node is added is what the servers read when they are told to.
        """
        for name in ("nats-users.conf", "nats-routes.conf"):
            (folder / name).symlink_to(self.folder / name)

    def etcd_flags(self) -> dict[str, str]:
        """Return flags of etcd for mutual TLS with clients and peers."""
        files = self.tls("server")
        flags: dict[str, str] = {}
        for kind in ("", "peer-"):
            flags |= {
                f"{kind}cert-file": str(files.certificate),
                f"{kind}key-file": str(files.key),
                f"{kind}trusted-ca-file": str(files.ca),
                f"{kind}client-cert-auth": "true",
            }
        return flags
