"""A base that comes from a registry is pinned by digest; the registry is a real one on loopback."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.containers import BASE_IMAGE, docker
from agentsight_core.testing.ports import free_ports

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
LABEL = "org.opencontainers.image"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[str]:
    """Run an empty registry; its address."""
    program = shutil.which("docker-registry")
    assert program is not None, "scripts/setup_docker.sh installs Debian's docker-registry"
    [port] = free_ports(1)
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(config))
    with (tmp_path / "registry.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            program, "serve", tmp_path / "registry.yml", stdout=log, stderr=log
        )
    try:
        await eventually(lambda: answers(port), 30)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def build(base: str, prefix: str) -> dict[str, str]:
    """Build the smallest image on `base`; return its labels."""
    environment = {
        **os.environ,
        "BASE_IMAGE": base,
        "IMAGE_PREFIX": prefix,
        "IMAGE_TAG": "test",
    }
    script = ROOT / "scripts" / "build_images.sh"
    done = subprocess.run(
        [script, "nats"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    labels = json.loads(docker("image", "inspect", done.stdout.strip()))[0]["Config"]["Labels"]
    docker("image", "rm", done.stdout.strip())
    return labels


def test_a_base_of_a_registry_is_pinned(registry: str) -> None:
    name = f"{registry}/base:1"
    docker("tag", BASE_IMAGE, name)
    try:
        docker("push", "--quiet", name)
        digests = json.loads(docker("image", "inspect", name))[0]["RepoDigests"]
        (pushed,) = [digest for digest in digests if digest.startswith(registry)]
        labels = build(name, "agentsight-pinned-")
    finally:
        docker("image", "rm", name)
    assert labels[f"{LABEL}.base.name"] == name
    assert labels[f"{LABEL}.base.digest"] == pushed.partition("@")[2]
    # By digest it is pulled again, where the tag is no more.
    by_digest = build(pushed, "agentsight-pinned-")
    docker("image", "rm", pushed)
    assert by_digest[f"{LABEL}.base.digest"] == pushed.partition("@")[2]


def test_a_base_that_was_made_here_has_no_digest() -> None:
    labels = build(BASE_IMAGE, "agentsight-local-")
    assert labels[f"{LABEL}.base.name"] == BASE_IMAGE
    assert f"{LABEL}.base.digest" not in labels
