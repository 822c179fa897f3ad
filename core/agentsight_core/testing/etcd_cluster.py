"""A real etcd cluster on loopback for tests: members can be killed, stopped and started again.

Needs Debian's package etcd-server (3.4 and newer).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.errors import AgentSightError
from agentsight_core.etcd.connection import EtcdSettings, connect
from agentsight_core.etcd.keys import read_prefix
from agentsight_core.runtime.tls import TlsFiles
from agentsight_core.testing.certificates import Authority, Pair
from agentsight_core.testing.ports import free_ports

_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Pki:
    ca: Path
    server: Pair
    client: Pair


class EtcdCluster:
    """Members 0…`size` - 1; use `running_etcd` to get one."""

    def __init__(self, folder: Path, size: int, *, tls: bool) -> None:
        self._folder = folder
        self._ports = free_ports(2 * size)
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._pki: _Pki | None = None
        self._scheme = "https" if tls else "http"
        folder.mkdir(parents=True, exist_ok=True)
        if tls:
            authority = Authority(folder)
            self._pki = _Pki(
                authority.certificate, authority.issue("server"), authority.issue("client")
            )
        self.members = range(size)

    @property
    def settings(self) -> EtcdSettings:
        """How clients reach the cluster."""
        pki = self._pki
        tls = TlsFiles(pki.ca, pki.client.certificate, pki.client.key) if pki else None
        return EtcdSettings(tuple(self._url(number) for number in self.members), tls)

    def pid(self, member: int) -> int:
        """Return the process id of a member that runs."""
        return self._processes[member].pid

    async def start(self, *members: int) -> None:
        """Start members, all if none is named, and wait until each of them answers."""
        for member in members or self.members:
            program = shutil.which("etcd")
            assert program is not None, "etcd-server is not installed: run `make setup-dev`"
            with (self._folder / f"member{member}.log").open("ab") as log:
                # setpriv: the server ends with us, however we end.
                self._processes[member] = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "KILL", program, *self._arguments(member)),
                    stdout=log,
                    stderr=log,
                )
        async with asyncio.timeout(_START_SECONDS):
            for member in members or self.members:
                await self._answer(member)

    async def kill(self, *members: int) -> None:
        """Kill members (SIGKILL), all if none is named."""
        for member in members or tuple(self._processes):
            process = self._processes.pop(member)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def pause(self, member: int) -> None:
        """Stop a member's process (SIGSTOP): its connections stay and nothing answers."""
        os.kill(self.pid(member), signal.SIGSTOP)

    def resume(self, member: int) -> None:
        """Let a paused member go on."""
        os.kill(self.pid(member), signal.SIGCONT)

    async def leader(self) -> int:
        """Return the member that leads the cluster."""
        terms = {}
        for member in self._processes:
            terms[member] = await self._is_leader(member)
        return next(member for member, leads in terms.items() if leads)

    async def compact(self, revision: int) -> None:
        """Let the cluster forget what was before `revision`."""
        await self._etcdctl(self._url(0), "compaction", str(revision))

    async def _is_leader(self, member: int) -> bool:
        output = await self._etcdctl(self._url(member), "endpoint", "status", "-w", "fields")
        lines = (line.partition(" : ") for line in output.splitlines())
        fields = {name.strip('"'): value for name, _, value in lines}
        return fields["MemberID"] == fields["Leader"]

    async def _etcdctl(self, endpoint: str, *arguments: str) -> str:
        """Run the official client, for services that ours does not use; return what it prints."""
        certificates = []
        if self._pki is not None:
            client = self._pki.client
            certificates += ["--cacert", str(self._pki.ca)]
            certificates += ["--cert", str(client.certificate), "--key", str(client.key)]
        process = await asyncio.create_subprocess_exec(
            *("etcdctl", "--endpoints", endpoint, *certificates, *arguments),
            env={**os.environ, "ETCDCTL_API": "3"},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return output.decode()

    async def _answer(self, member: int) -> None:
        settings = EtcdSettings((self._url(member),), self.settings.tls)
        async with connect(settings) as etcd:
            while True:
                assert self._processes[member].returncode is None, f"see {self._folder}"
                with contextlib.suppress(AgentSightError):
                    await read_prefix(etcd, b"/ready")
                    return

    def _url(self, member: int) -> str:
        return f"{self._scheme}://127.0.0.1:{self._ports[2 * member]}"

    def _peer_url(self, member: int) -> str:
        return f"{self._scheme}://127.0.0.1:{self._ports[2 * member + 1]}"

    def _arguments(self, member: int) -> list[str]:
        peers = ",".join(f"m{number}={self._peer_url(number)}" for number in self.members)
        values = {
            "name": f"m{member}",
            "data-dir": str(self._folder / f"member{member}"),
            "listen-client-urls": self._url(member),
            "advertise-client-urls": self._url(member),
            "listen-peer-urls": self._peer_url(member),
            "initial-advertise-peer-urls": self._peer_url(member),
            "initial-cluster": peers,
        }
        if self._pki is None:
            return [f"--{name}={value}" for name, value in values.items()]
        for prefix in ("", "peer-"):
            values[f"{prefix}cert-file"] = str(self._pki.server.certificate)
            values[f"{prefix}key-file"] = str(self._pki.server.key)
            values[f"{prefix}trusted-ca-file"] = str(self._pki.ca)
            values[f"{prefix}client-cert-auth"] = "true"
        return [f"--{name}={value}" for name, value in values.items()]


@contextlib.asynccontextmanager
async def running_etcd(
    folder: Path, size: int = 3, *, tls: bool = False
) -> AsyncIterator[EtcdCluster]:
    """Start a cluster in `folder`; kill it at the end."""
    cluster = EtcdCluster(folder, size, tls=tls)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.kill()
