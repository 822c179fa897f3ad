"""The chart's pods run: what Helm renders is given to Docker in the place of a kubelet."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.containers import caller_in_container
from agentsight_core.testing.helm_chart import NAMESPACE, Manifest, template, values_of
from agentsight_core.testing.llm_tls_server import llm_tls_server
from agentsight_core.testing.pods_in_docker import NODE, Pods

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
NAME, AGENTS = "agentsight", "agentsight-agents"
CALLS = 20


# Who makes certificates: our command, or helm.
MAKERS = {"existing": (), "default": ("--only-keys",)}


def secrets(folder: Path, *more: str) -> list[Manifest]:
    """Return what the documented command makes."""
    program = ROOT / ".venv" / "bin" / "agentsight"
    words = ("--name", NAME, "--namespace", NAMESPACE, "--agent-namespace", AGENTS)
    done = subprocess.run(
        [program, "certs", "kubernetes", folder, *words, *more],
        capture_output=True,
        text=True,
        check=True,
    )
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def chart(case: str) -> list[Manifest]:
    # There is no Kubernetes API to ask for pods.
    names = f"fullnameOverride={NAME},agent.namespace={AGENTS},agent.podMetadata=false"
    done = template(
        *("--values", str(values_of(case))),
        *("--set", f"image.registry=,image.tag=test,{names}"),
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.fixture(params=MAKERS)
def pods(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pods]:
    keys = secrets(tmp_path / "authority", *MAKERS[request.param])
    objects = [*chart(request.param), *keys]
    found = Pods(objects, tmp_path, f"agentsightpods{os.getpid()}")
    try:
        yield found
    finally:
        found.close()


async def test_what_an_agent_did_is_told_by_the_toolbox(pods: Pods, tmp_path: Path) -> None:
    started = [
        *pods.start("StatefulSet", f"{NAME}-etcd"),
        *pods.start("StatefulSet", f"{NAME}-nats"),
        *pods.start("Deployment", f"{NAME}-aggregator"),
        *pods.start("DaemonSet", f"{NAME}-agent"),
    ]
    assert len(started) == 3 + 3 + 2 + 1
    await eventually(lambda: all(map(pods.is_ready, started)), 180)

    model = "claude-in-pods"
    (tmp_path / "tls").mkdir()
    with llm_tls_server(tmp_path / "tls") as server:
        async with caller_in_container(server, model, tmp_path / "client") as (caller, container):
            for number in range(1, CALLS + 1):
                await caller.call(number)

    def session() -> dict:
        api = f"{NAME}-aggregator:9466"
        try:
            lines = pods.run(f"{NAME}-test", ["sessions", "--api", api, "--json"]).splitlines()
        except AssertionError:
            # NATS may still be choosing the leaders of new streams: it answers 503.
            return {}
        mine = [json.loads(line) for line in lines if container in line]
        return mine[0]["session_summary"] if mine else {}

    await eventually(lambda: session().get("llm_calls") == CALLS, 60)
    assert session()["models"] == [model]
    # What `helm test` runs. Members whose first notes found no leader are some seconds late.
    await eventually(lambda: NODE in pods.run(f"{NAME}-test"), 30)
