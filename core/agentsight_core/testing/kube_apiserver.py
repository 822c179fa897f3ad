"""A real Kubernetes API server on loopback, with its etcd; no nodes, so nothing runs.

Nothing brings the program along: KUBE_APISERVER_BIN names it. Needs Debian's package etcd-server,
and kubectl and helm of `make setup-dev`. Must not know the chart.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.testing.certificates import Authority
from agentsight_core.testing.etcd_cluster import running_etcd
from agentsight_core.testing.helm_chart import HELM, KUBECTL
from agentsight_core.testing.ports import free_ports

_START_SECONDS = 90.0
# The static token of an administrator.
_ADMINISTRATOR = "administrator-of-tests"


@dataclass(frozen=True, slots=True)
class KubeApi:
    """How to ask the server, as an administrator."""

    port: int
    ca: Path
    kubeconfig: Path

    def run(self, program: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm; `given` is its standard input."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return subprocess.run(  # noqa: S603  # tests choose the words
            [program, *words],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    def kubectl(self, *words: str, given: str = "") -> str:
        """Run kubectl; return what it prints. AssertionError with its words if it fails."""
        done = self.run(KUBECTL, *words, given=given)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def helm(self, *words: str) -> str:
        """Run helm; return what it prints, warnings too. AssertionError if it fails."""
        done = self.run(HELM, *words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout + done.stderr


@contextlib.asynccontextmanager
async def running_kube_api(folder: Path) -> AsyncIterator[KubeApi]:
    """Run a server with an empty cluster, until the context ends."""
    binary = _binary()
    authority = Authority(folder)
    serving, signing = authority.issue("serving"), authority.issue("signing")
    (folder / "tokens.csv").write_text(f"{_ADMINISTRATOR},admin,0,system:masters\n")
    (port,) = free_ports(1)
    async with running_etcd(folder / "etcd", 1, tls=False) as etcd:
        options = {
            "etcd-servers": ",".join(etcd.settings.endpoints),
            "bind-address": "127.0.0.1",
            "secure-port": str(port),
            "tls-cert-file": str(serving.certificate),
            "tls-private-key-file": str(serving.key),
            "token-auth-file": str(folder / "tokens.csv"),
            "authorization-mode": "RBAC",
            "service-account-key-file": str(signing.certificate),
            "service-account-signing-key-file": str(signing.key),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-cluster-ip-range": "192.0.2.0/24",
        }
        with (folder / "kube-apiserver.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", binary),
                *(f"--{name}={value}" for name, value in options.items()),
                stdout=log,
                stderr=log,
            )
        api = KubeApi(port, authority.certificate, _kubeconfig(folder, port))
        try:
            async with asyncio.timeout(_START_SECONDS):
                await _until_ready(api, process)
            yield api
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _binary() -> str:
    binary = os.environ.get("KUBE_APISERVER_BIN", "")
    assert Path(binary).is_file(), "KUBE_APISERVER_BIN does not name a kube-apiserver"
    return binary


async def _until_ready(api: KubeApi, process: asyncio.subprocess.Process) -> None:
    while True:
        assert process.returncode is None, "kube-apiserver has ended: see its log"
        asked = await asyncio.to_thread(api.run, KUBECTL, "get", "--raw", "/readyz")
        if asked.returncode == 0:
            return
        await asyncio.sleep(0.3)


def _kubeconfig(folder: Path, port: int) -> Path:
    url, ca = f"https://127.0.0.1:{port}", str(folder / "ca.pem")
    cluster = {"server": url, "certificate-authority": ca}
    path = folder / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "admin", "user": {"token": _ADMINISTRATOR}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                "current-context": "test",
            }
        )
    )
    return path
