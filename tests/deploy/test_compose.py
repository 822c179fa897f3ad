"""deploy/compose as a user runs it: init.sh, up, an agent in a container, its spans and metrics.

Grafana is not started, and a small OTLP service stands where Jaeger is: there may be no registry to
have them from. Everything else is the file as it is.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.containers import (
    SERVERS_IMAGE,
    caller_in_container,
    docker,
    image,
    logs,
)
from agentsight_core.testing.llm_tls_server import llm_tls_server
from agentsight_core.testing.ports import free_ports

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CALLS = 20
# llm_tls_server says that each call had so many.
INPUT_TOKENS = 11

SINK = """\
services:
  jaeger:
    image: {image}
    entrypoint: [python, /sink/otlp_sink.py, /out/spans.jsonl]
    healthcheck: {{disable: true}}
    user: "0:0"
    volumes: ["{sink}:/sink/otlp_sink.py:ro", "{out}:/out"]
"""


class Compose:
    """A copy of deploy/ in `folder`, so that secrets stay out of the tree."""

    def __init__(self, folder: Path, profile: str) -> None:
        shutil.copytree(
            ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("secrets")
        )
        self.folder = folder / "deploy" / "compose"
        (self.folder / ".env").unlink(missing_ok=True)
        self.out = folder / "out"
        self.out.mkdir()
        self.profile = profile
        self.project = f"agentsighttest{os.getpid()}{profile}"
        ports = zip(("API_PORT", "API_PORT_1", "JAEGER_PORT"), map(str, free_ports(3)), strict=True)
        self._env = {
            **os.environ,
            **dict(ports),
            "AGENTSIGHT_VERSION": "test",
            "COMPOSE_PROJECT_NAME": self.project,
            "PROMETHEUS_IMAGE": SERVERS_IMAGE,
            "ALERTMANAGER_IMAGE": SERVERS_IMAGE,
            "ALERTMANAGER_PROGRAM": "prometheus-alertmanager",
            "NODE_NAME": "compose-host",
        }
        self.run("./init.sh", profile)
        sink = ROOT / "tests" / "deploy" / "otlp_sink.py"
        text = SINK.format(image=image("aggregator"), sink=sink, out=self.out)
        (self.folder / "sink.yaml").write_text(text)
        env_file = self.folder / ".env"
        env_file.write_text(env_file.read_text().replace(".yaml\nNODE", ".yaml:sink.yaml\nNODE"))

    @property
    def services(self) -> list[str]:
        """Those of the profile, without what there is no image of."""
        services = yaml.safe_load((self.folder / "compose.yaml").read_text())["services"]
        mine = [
            name
            for name, s in services.items()
            if self.profile in s.get("profiles", [self.profile])
        ]
        return sorted({*mine} - {"grafana"})

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def compose(self, *words: str, check: bool = True) -> str:
        return self.run("docker-compose", *words, check=check)

    def containers(self) -> list[dict]:
        label = f"label=com.docker.compose.project={self.project}"
        ids = docker("ps", "--all", "--quiet", "--filter", label).split()
        return json.loads(docker("inspect", *ids)) if ids else []

    def service(self, name: str) -> dict:
        return next(c for c in self.containers() if service_of(c) == name)

    def cli(self, *words: str) -> str:
        return self.compose("run", "--rm", "-T", "cli", *words)

    def spans(self) -> list[dict]:
        file = self.out / "spans.jsonl"
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text().split("\n")[:-1]]

    def metric(self, query: str) -> dict[str, float]:
        """Return what Prometheus answers: {series: value}."""
        prometheus = self.service("prometheus")["Id"]
        text = docker(
            "exec", prometheus, "promtool", "query", "instant", "http://127.0.0.1:9090", query
        )
        lines = [line.rpartition(" => ") for line in text.splitlines()]
        return {series: float(value.split(" ")[0]) for series, _, value in lines if value}


def service_of(container: dict) -> str:
    return container["Config"]["Labels"]["com.docker.compose.service"]


def is_well(container: dict) -> bool:
    state = container["State"]
    return (
        state["Status"] == "running"
        and state.get("Health", {}).get("Status", "healthy") == "healthy"
    )


@pytest.fixture(params=["single", "ha"])
def system(request, tmp_path: Path) -> Iterator[Compose]:
    compose = Compose(tmp_path, request.param)
    try:
        compose.compose("up", "-d", *compose.services)
        yield compose
    finally:
        for container in compose.containers():
            (tmp_path / f"{service_of(container)}.log").write_text(logs(container["Id"]))
        compose.compose("down", "--volumes", "--timeout", "5", check=False)


def attributes_of(span: dict) -> dict[str, str]:
    return {a["key"]: next(iter(a["value"].values()), "") for a in span.get("attributes", ())}


def numbers(spans: list[dict], model: str) -> dict[str, int]:
    """Return the numbers of the calls of `model` by span id: one that is sent again is the same."""
    calls = {span["spanId"]: attributes_of(span) for span in spans}
    return {
        key: int(found["gen_ai.request.max_tokens"])
        for key, found in calls.items()
        if found.get("gen_ai.request.model") == model
    }


async def test_what_an_agent_said_is_in_traces_and_metrics(system: Compose, tmp_path: Path) -> None:
    model = "claude-in-compose"
    await eventually(lambda: all(is_well(c) for c in system.containers()), 180)
    (tmp_path / "tls").mkdir()
    with llm_tls_server(tmp_path / "tls") as server:
        async with caller_in_container(server, model, tmp_path / "client") as (caller, container):
            for number in range(1, CALLS + 1):
                await caller.call(number)
    wanted = list(range(1, CALLS + 1))
    await eventually(lambda: sorted(numbers(system.spans(), model).values()) == wanted, 60)

    resources = [
        {a["key"]: a["value"].get("stringValue") for a in span["resource"]["attributes"]}
        for span in system.spans()
        if span["spanId"] in numbers(system.spans(), model)
    ]
    assert {r["container.id"] for r in resources} == {container}
    assert {r["host.name"] for r in resources} == {"compose-host"}

    query = (
        f'sum(gen_ai_client_inference_usage_input_tokens_total{{gen_ai_request_model="{model}"}})'
    )
    await eventually(lambda: system.metric(query).get("{}") == CALLS * INPUT_TOKENS, 90)
    await eventually(lambda: set(system.metric("up").values()) == {1.0}, 90)

    _check_rights(system)
    _check_published(system)
    api = "aggregator:9466" if system.profile == "single" else "aggregator-0:9466"
    [found] = [
        json.loads(line)["session_summary"]
        for line in system.cli("sessions", "--api", api, "--json").splitlines()
        if container in line
    ]
    assert (found["llm_calls"], found["models"]) == (CALLS, [model])


def _check_rights(system: Compose) -> None:
    for container in system.containers():
        service, host = service_of(container), container["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["Privileged"] is False, service
        if service not in ("agent", "jaeger"):
            assert container["Config"]["User"].split(":")[0] not in ("", "0"), service
            assert not host["CapAdd"], service
    assert host_of(system, "agent")["PidMode"] == "host"


def host_of(system: Compose, service: str) -> dict:
    return system.service(service)["HostConfig"]


def _check_published(system: Compose) -> None:
    for container in system.containers():
        for bindings in (container["NetworkSettings"]["Ports"] or {}).values():
            for binding in bindings or ():
                assert binding["HostIp"] == "127.0.0.1"
                assert service_of(container).startswith(("aggregator", "jaeger"))
