"""Docker for tests: its command, the names of our images, and a watched program in a container.

The images are there: `make test-deploy` makes them (scripts/setup_docker.sh). Must not build them.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import LlmTlsServer
from agentsight_core.testing.running_up import CALLER, Caller

# Debian with Python and OpenSSL; the same with Prometheus, Alertmanager and etcd.
BASE_IMAGE = "agentsight-base:bookworm"
SERVERS_IMAGE = "agentsight-servers:bookworm"


def image(target: str) -> str:
    """Return the name of the image of a target of the Dockerfile."""
    return f"agentsight-{target}:test"


def docker(*arguments: str) -> str:
    """Run the docker command; return what it prints. AssertionError with its words if it fails."""
    command = ["docker", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # tests choose the words
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()


def logs(container: str) -> str:
    """Return what a container has written, to standard output and error."""
    command = ["docker", "logs", container]
    done = subprocess.run(  # noqa: S603  # tests choose the name
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    return done.stdout


@contextlib.asynccontextmanager
async def caller_in_container(
    server: LlmTlsServer, model: str, folder: Path
) -> AsyncIterator[tuple[Caller, str]]:
    """Run a program that calls `model` when told to, in a container of its own; with its id.

    `folder` is new and the container's only file system of the host. It ends with the context.
    """
    _give_authority(server, folder)
    id_file = folder.with_suffix(".cid")
    environment = {"SSL_CERT_FILE": "/llm/ca.pem", "PORT": str(server.server_port)}
    process = await asyncio.create_subprocess_exec(
        *("docker", "run", "--rm", "--interactive", "--cidfile", str(id_file)),
        # The server listens on the host's loopback.
        *("--network", "host", "--volume", f"{folder}:/llm:ro"),
        *(word for name, value in environment.items() for word in ("--env", f"{name}={value}")),
        *(BASE_IMAGE, "python3", "-c", CALLER, model, ""),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await eventually(lambda: id_file.exists() and bool(id_file.read_text()), 60.0)
        yield Caller(process), id_file.read_text()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


def _give_authority(server: LlmTlsServer, folder: Path) -> None:
    folder.mkdir()
    (folder / "ca.pem").write_bytes(server.ca.read_bytes())
