"""A client in a real Docker container, its TLS library in the image; and where its files are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from agentsight_agent.enrich.mounts import read_places
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.containers import BASE_IMAGE, docker
from agentsight_core.testing.llm_tls_server import llm_tls_server
from agentsight_core.testing.running_up import running_up

pytestmark = [pytest.mark.kernel, pytest.mark.docker, pytest.mark.timeout(300)]

MODEL = "claude-inside"
CLIENT = f"""
import http.client, json, os, ssl, sys
context = ssl.create_default_context(cafile="/shared/ca.pem")
server = http.client.HTTPSConnection("localhost", int(sys.argv[1]), context=context)
ask = json.dumps({{"model": "{MODEL}", "max_tokens": 100, "messages": []}})
server.request("POST", "/v1/messages", ask, {{"anthropic-version": "2023-06-01"}})
assert json.loads(server.getresponse().read())["stop_reason"] == "end_turn"
sys.stdin.readline()
os.chdir("/srv")
for path in ("own", "/shared/work/result", "/dev/shm/private"):
    with open(path, "w") as file:
        file.write("12345")
os.rename("/shared/work/result", "/shared/work/final")
# The host looks while the container is still there.
print("written", flush=True)
sys.stdin.readline()
"""


def files_of(found: list[dict]) -> dict[str, dict]:
    """Return the attributes of the file events of all spans by path and operation."""
    events = [
        event["attributes"]
        for finding in found
        if finding["kind"] == "span"
        for event in finding["span"]["events"]
        if event["name"] == "file"
    ]
    return {
        f"{one.get('agentsight.file.operation', '')} {one['file.path']}".strip(): one
        for one in events
    }


async def test_a_client_in_a_container_is_read_and_its_files_have_both_paths(
    tmp_path: Path,
) -> None:
    shared = tmp_path / "shared"
    (shared / "work").mkdir(parents=True)
    (tmp_path / "tls").mkdir()
    id_file = tmp_path / "cid"
    with llm_tls_server(tmp_path / "tls") as server:
        (shared / "ca.pem").write_bytes(server.ca.read_bytes())
        async with running_up(tmp_path) as system:
            command = ["docker", "run", "--rm", "--interactive", "--cidfile", str(id_file)]
            command += ["--network", "host", "--volume", f"{shared}:/shared", BASE_IMAGE]
            command += ["python3", "-c", CLIENT, str(server.server_port)]
            client = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            assert client.stdin is not None
            assert client.stdout is not None
            await eventually(lambda: bool(system.calls(MODEL)), 60)
            client.stdin.write(b"go\n")
            assert await client.stdout.readline() == b"written\n"
            container = id_file.read_text()
            own = on_host("/srv/own", container)
            client.stdin.close()
            seen_from_host = await told(system)
            assert await client.wait() == 0

    resource, files = seen_from_host
    assert resource["container.id"] == container
    name, _, tag = BASE_IMAGE.partition(":")
    assert (resource["container.image.name"], resource["container.image.tags"]) == (name, [tag])
    assert files["/shared/work/result"]["agentsight.file.host_path"] == f"{shared}/work/result"
    renamed = files["renamed /shared/work/result"]
    assert renamed["agentsight.file.new_host_path"] == f"{shared}/work/final"
    assert "agentsight.file.host_path" not in files["/dev/shm/private"]
    assert files["/srv/own"]["agentsight.file.host_path"] == own != "/srv/own"


def on_host(path: str, container: str) -> str:
    """Return where the host has a file of a running container, after a look at it."""
    pid = docker("inspect", "--format", "{{.State.Pid}}", container)
    root = next(place for place in read_places(int(pid)) if place.path == "/")
    found = root.host_path.rstrip("/") + path
    assert Path(found).samefile(f"/proc/{pid}/root{path}")
    return found


async def told(system) -> tuple[dict, dict[str, dict]]:
    """Wait for the files of the client; return the resource of its spans, and the files."""
    await eventually(lambda: "/srv/own" in files_of(system.findings()), 60)
    found = system.findings()
    (span,) = (
        finding["span"]
        for finding in found
        if finding["kind"] == "span"
        and any(e["attributes"].get("file.path") == "/srv/own" for e in finding["span"]["events"])
    )
    return span["resource"], files_of(found)
