"""A cluster in containers: a real agent with few rights watches a program in another container.

The truth is kept by the other end of the program's connection. While it talks, an aggregator and a
bus server are killed.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, ConnectionSettings, connect
from agentsight_core.errors import AgentSightError
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.testing.cluster.cluster import patiently
from agentsight_core.testing.cluster.evidence import read_stream
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.containers import caller_in_container, image
from agentsight_core.testing.llm_tls_server import LlmTlsServer, llm_tls_server

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

MODEL = "claude-in-a-container"
# Its engine here is older than these: SYS_ADMIN stands for BPF, PERFMON and CHECKPOINT_RESTORE.
CAPABILITIES = ["SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"]
PEERS = range(3)

NATS = """\
server_name: {name}
listen: "0.0.0.0:4222"
http: "127.0.0.1:8222"
max_payload: 8388608
max_pending: 134217728
ping_interval: "2s"
ping_max: 2
write_deadline: "5s"
cluster {{
  name: agentsight
  listen: "0.0.0.0:6222"
  routes: [{routes}]
}}
jetstream {{
  store_dir: /data
  sync_interval: always
  limits {{ batch {{ max_inflight_per_stream: 500 }} }}
}}
"""


class Members:
    """The containers of the cluster, by name; they end with the stack."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        # It makes a client of Docker when it is imported.
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.network import Network

        # Its helper that removes what is left behind is an image of a registry.
        testcontainers_config.ryuk_disabled = True
        self._folder = folder
        self._stack = stack
        self._network = stack.enter_context(Network())
        self._by_name = {}

    def start(self, name: str, target: str, environment: dict[str, str], **options: object) -> None:
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(image(target), **options)
        container.with_network(self._network).with_network_aliases(name)
        for key, value in environment.items():
            container.with_env(key, value)
        if (self._folder / name).exists():
            container.with_volume_mapping(str(self._folder / name), "/etc/agentsight", "ro")
        self._by_name[name] = self._stack.enter_context(container).get_wrapped_container()

    def __getitem__(self, name: str):
        container = self._by_name[name]
        container.reload()
        return container

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    def is_well(self, name: str) -> bool:
        state = self[name].attrs["State"]
        return state["Status"] == "running" and state["Health"]["Status"] == "healthy"

    def address(self, name: str) -> str:
        [network] = self[name].attrs["NetworkSettings"]["Networks"].values()
        return network["IPAddress"]

    def logs(self) -> dict[str, str]:
        return {name: c.logs().decode(errors="replace") for name, c in self._by_name.items()}


def start_all(members: Members, folder: Path) -> None:
    servers = json.dumps([f"nats://nats{n}:4222" for n in PEERS])
    for number in PEERS:
        name = f"nats{number}"
        (folder / name).mkdir()
        routes = ", ".join(f'"nats-route://nats{n}:6222"' for n in PEERS)
        (folder / name / "nats.conf").write_text(NATS.format(name=name, routes=routes))
        members.start(name, "nats", {}, command="--config /etc/agentsight/nats.conf")
    for number in PEERS:
        members.start(f"etcd{number}", "etcd", etcd_environment(number))
    for number in range(2):
        values = {
            "NODE_NAME": f"agg{number}",
            "BUS_REPLICAS": "3",
            "COORDINATION_ENDPOINTS": json.dumps([f"http://etcd{n}:2379" for n in PEERS]),
            "AGGREGATOR_TICK_INTERVAL_MS": "500",
            "AGGREGATOR_CHECKPOINT_INTERVAL_MS": "500",
        }
        members.start(f"agg{number}", "aggregator", ours(servers, values), read_only=True)
    members.start(
        "agent",
        "agent",
        ours(servers, {"NODE_NAME": "in-a-container"}),
        pid_mode="host",
        cap_drop=["ALL"],
        cap_add=CAPABILITIES,
        read_only=True,
    )


def ours(servers: str, values: dict[str, str]) -> dict[str, str]:
    all_values = {"BUS_EMBEDDED": "false", "BUS_SERVERS": servers, **values}
    return {f"AGENTSIGHT_{name}": value for name, value in all_values.items()}


def etcd_environment(number: int) -> dict[str, str]:
    name = f"etcd{number}"
    return {
        "ETCD_NAME": name,
        "ETCD_DATA_DIR": "/data/etcd",
        "ETCD_LISTEN_CLIENT_URLS": "http://0.0.0.0:2379",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://{name}:2379",
        "ETCD_LISTEN_PEER_URLS": "http://0.0.0.0:2380",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://{name}:2380",
        "ETCD_LISTEN_METRICS_URLS": "http://127.0.0.1:2381",
        "ETCD_INITIAL_CLUSTER": ",".join(f"etcd{n}=http://etcd{n}:2380" for n in PEERS),
    }


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    with contextlib.ExitStack() as stack:
        found = Members(tmp_path, stack)
        try:
            start_all(found, tmp_path)
            yield found
        finally:
            for name, text in found.logs().items():
                (tmp_path / f"{name}.log").write_text(text)


@contextlib.asynccontextmanager
async def connected(members: Members) -> AsyncIterator[Bus]:
    servers = tuple(f"nats://{members.address(f'nats{n}')}:4222" for n in PEERS)
    async with connect(ConnectionSettings(servers, "oracle", request_seconds=2.0)) as bus:
        yield bus


async def findings(bus: Bus) -> list[Finding]:
    for _ in range(5):
        with contextlib.suppress(AgentSightError):
            return [Finding.FromString(m.data) for m in await read_stream(bus, subjects.FINDINGS)]
        await asyncio.sleep(1)
    return [Finding.FromString(m.data) for m in await read_stream(bus, subjects.FINDINGS)]


def numbers(found: list[Finding]) -> Counter[int]:
    """Return how often each call of our model is in the findings, by the number that it carries."""
    counts: Counter[int] = Counter()
    for finding in found:
        values = {attribute.key: attribute for attribute in finding.span.attributes}
        model = values.get("gen_ai.request.model")
        if model is not None and model.string_value == MODEL:
            counts[values["gen_ai.request.max_tokens"].int_value] += 1
    return counts


def told(server: LlmTlsServer) -> list[int]:
    """Return the numbers of the calls that the server has answered."""
    return [json.loads(pair.request)["max_tokens"] for pair in server.pairs]


async def test_kills_in_a_cluster_of_containers_lose_nothing(members, tmp_path: Path) -> None:
    await eventually(lambda: all(members.is_well(name) for name in members.names), 180)
    (tmp_path / "tls").mkdir()
    async with contextlib.AsyncExitStack() as stack:
        server = stack.enter_context(llm_tls_server(tmp_path / "tls"))
        client = caller_in_container(server, MODEL, tmp_path / "client")
        caller, container = await stack.enter_async_context(client)
        bus = await stack.enter_async_context(connected(members))

        async def call_until_answered(first: int, last: int) -> None:
            """Make calls, and wait until the last of them is in the findings."""
            for number in range(first, last + 1):
                await caller.call(number)

            async def arrived() -> bool:
                return last in numbers(await findings(bus))

            await patiently(arrived, 90)

        await call_until_answered(1, 30)
        for victim, first in (("agg0", 31), ("nats0", 61), ("agg1", 91)):
            members[victim].kill("SIGKILL")
            await call_until_answered(first, first + 29)
            members[victim].start()
            await eventually(lambda: members.is_well(victim), 120)  # noqa: B023  # called here only

        assert told(server) == list(range(1, 121))
        found = await findings(bus)
        assert numbers(found) == Counter(told(server))
        ids = Counter(finding.id for finding in found)
        assert [key for key, count in ids.items() if count > 1] == []
        calls = [f for f in found if numbers([f])]
        resources = [{a.key: a.string_value for a in f.span.resource} for f in calls]
        assert {r["container.id"] for r in resources} == {container}
        assert {r["host.name"] for r in resources} == {"in-a-container"}
