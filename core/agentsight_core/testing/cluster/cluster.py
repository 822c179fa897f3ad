"""The whole cluster: servers, aggregators, generators, and the network that they share.

Must not judge what the cluster did: see `evidence` and `verdict`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic

import yaml

from agentsight_core.bus import subjects
from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import Bus, ConnectionSettings, connect
from agentsight_core.bus.failures import translated
from agentsight_core.config import load_config
from agentsight_core.errors import AgentSightError
from agentsight_core.etcd.connection import EtcdSettings
from agentsight_core.runtime.notes import read_note
from agentsight_core.testing.cluster.credentials import Credentials
from agentsight_core.testing.cluster.disks import LazyDisk
from agentsight_core.testing.cluster.ledger import LedgerOfUnits, read_ledger_of_units
from agentsight_core.testing.cluster.member import Member
from agentsight_core.testing.cluster.network import Host, Network, running_network
from agentsight_core.testing.cluster.servers import EtcdMember, NatsMember
from agentsight_core.testing.conditions import eventually

# Longer than the fold waits for events that come late, and than two ticks.
_QUIET_SECONDS = 4.0
_PYTHON = [sys.executable, "-X", "faulthandler", "-m"]


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The size of a cluster and its load."""

    nats: int = 3
    etcd: int = 3
    aggregators: int = 3
    nodes: int = 2
    replicas: int = 3
    partitions: int = 4
    sessions_per_node: int = 4
    # Units a second of each node.
    rate: float = 40.0
    padding_bytes: int = 0
    lease_seconds: int = 2
    checkpoint_ms: int = 1000
    tick_ms: int = 1000
    spool_bytes: int = 256 << 20
    nats_store_bytes: int = 16 << 30
    etcd_quota_bytes: int = 0
    otlp_endpoint: str = ""
    # Whether the aggregators write findings as JSON lines.
    jsonl: bool = False
    # Mutual TLS everywhere, an nkey for each node, frames and findings sealed.
    secured: bool = True
    # Kinds of members (nats, etcd, node) whose disks forget what was not synced.
    lazy_disks: tuple[str, ...] = ()


class Cluster:
    """Members by kind; use `running_cluster` to get one."""

    def __init__(self, folder: Path, settings: ClusterSettings, network: Network) -> None:
        self.folder = folder
        self.settings = settings
        self.network = network
        self.nats: list[NatsMember] = []
        self.etcd: list[EtcdMember] = []
        self.aggregators: list[Member] = []
        self.nodes: list[Member] = []
        # By name of the member.
        self.disks: dict[str, LazyDisk] = {}
        # None: nothing is secured.
        self.credentials: Credentials | None = None
        # Servers that the oracle does not ask: one that is cut off answers with what it knew.
        self.avoided: list[NatsMember] = []

    @property
    def members(self) -> list[Member]:
        """All members."""
        return [*self.nats, *self.etcd, *self.aggregators, *self.nodes]

    @property
    def servers(self) -> tuple[str, ...]:
        """Addresses of the bus."""
        return tuple(member.url for member in self.nats)

    async def build(self) -> None:
        """Make hosts and configuration; start nothing."""
        settings = self.settings
        nats_hosts = [await self.network.host(f"nats{n}") for n in range(settings.nats)]
        etcd_hosts = [await self.network.host(f"etcd{n}") for n in range(settings.etcd)]
        if settings.secured:
            self.credentials = Credentials(self.folder / "certs")
            self.server_names = [host.address for host in [*nats_hosts, *etcd_hosts]]
            nodes = [f"node{number}" for number in range(settings.nodes)]
            await self.credentials.make(nodes=nodes, names=self.server_names)
        for host in nats_hosts:
            self.nats.append(
                NatsMember(
                    host,
                    self._folder(host),
                    nats_hosts,
                    settings.nats_store_bytes,
                    self.credentials,
                )
            )
        for host in etcd_hosts:
            self.etcd.append(
                EtcdMember(
                    host,
                    self._folder(host),
                    etcd_hosts,
                    settings.etcd_quota_bytes,
                    self.credentials,
                )
            )
        for number in range(settings.aggregators):
            await self.add_aggregator(f"agg{number}")
        for number in range(settings.nodes):
            await self.add_node(f"node{number}")

    async def start(self) -> None:
        """Start everything, in the order in which it is needed, and wait until events flow."""
        await self._insert_disks()
        await asyncio.gather(*(member.start() for member in [*self.nats, *self.etcd]))
        await self.healthy()
        for member in [*self.aggregators, *self.nodes]:
            await member.start()
        await self.ready(*self.aggregators)
        await self.flows()

    async def _insert_disks(self) -> None:
        places: list[tuple[Member, Path]] = [(member, member.store) for member in self.nats]
        places += [(member, member.folder / "data") for member in self.etcd]
        places += [(member, member.folder / "spool") for member in self.nodes]
        for member, folder in places:
            if member.name.startswith(self.settings.lazy_disks):
                disk = self.disks[member.name] = LazyDisk(folder, member.folder / "disk")
                await disk.insert()

    async def lose_power(self, *members: Member) -> None:
        """Kill them at the same moment, and let their disks forget what was not synced."""
        await asyncio.gather(*(member.kill() for member in members))
        for member in members:
            await self.disks[member.name].lose_power()

    async def renew_certificates(self) -> None:
        """Issue all certificates anew; etcd and clients see that by themselves."""
        assert self.credentials is not None, "the cluster is not secured"
        await self.credentials.renew(self.server_names, [node.name for node in self.nodes])
        for server in self.nats:
            server.reload()

    async def ready(self, *aggregators: Member, seconds: float = 60.0) -> None:
        """Wait until the aggregators say that they work."""
        for member in aggregators:
            await eventually(partial(_announced, member), seconds)

    async def add_aggregator(self, name: str, program: Sequence[str] = ()) -> Member:
        """Make one more aggregator, not started; `program` replaces the one of this tree."""
        host = await self.network.host(name)
        folder = self._folder(host)
        config = folder / "config.yaml"
        self._write_config(config, "aggregator", self._aggregator_config(name, folder))
        command = [*(program or [*_PYTHON, "agentsight_aggregator"]), "--config", str(config)]
        member = Member(host, folder, command)
        self.aggregators.append(member)
        return member

    async def add_node(self, name: str, **options: object) -> Member:
        """Make one more generator, not started; servers that run learn of its credential."""
        host = await self.network.host(name)
        settings = self.settings
        if self.credentials and not self.credentials.config(f"node-{name}").exists():
            await self.credentials.make(nodes=[name])
            for server in self.nats:
                server.reload()
        config = self._folder(host) / "config.yaml"
        self._write_config(config, f"node-{name}", self._node_config(name))
        values = {
            "folder": self._folder(host),
            "config": config,
            "sessions": settings.sessions_per_node,
            "rate": settings.rate,
            "padding": settings.padding_bytes,
            "spool-bytes": settings.spool_bytes,
            **options,
        }
        module = "agentsight_core.testing.cluster.generator"
        arguments = [f"--{key}={value}" for key, value in values.items()]
        member = Member(host, self._folder(host), [*_PYTHON, module, *arguments])
        self.nodes.append(member)
        return member

    def _folder(self, host: Host) -> Path:
        folder = self.folder / host.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write_config(self, path: Path, role: str, config: Mapping[str, object]) -> None:
        """Write `config`, on top of what `agentsight certs` has made for the role."""
        made = {}
        if self.credentials is not None:
            made = yaml.safe_load(self.credentials.config(role).read_text())
        path.write_text(yaml.safe_dump(merged(made, config)))

    def _node_config(self, name: str) -> dict[str, object]:
        return {
            "node": {"cluster": "test", "name": name},
            "bus": {"embedded": False, "servers": list(self.servers)},
        }

    def _aggregator_config(self, name: str, folder: Path) -> dict[str, object]:
        settings = self.settings
        config: dict[str, object] = {
            "node": {"cluster": "test", "name": name, "state_dir": str(folder / "state")},
            "bus": {
                "embedded": False,
                "servers": list(self.servers),
                "partitions": settings.partitions,
                "replicas": settings.replicas,
            },
            "aggregator": {
                "checkpoint_interval_ms": settings.checkpoint_ms,
                "tick_interval_ms": settings.tick_ms,
            },
            "exporters": {
                "prometheus": {"port": 0},
                "otlp": {"endpoint": settings.otlp_endpoint},
                "jsonl": {"path": str(folder / "findings.jsonl") if settings.jsonl else None},
            },
        }
        if self.etcd:
            config["coordination"] = {
                "endpoints": [member.url for member in self.etcd],
                "lease_s": settings.lease_seconds,
            }
        return config

    def ledger(self, node: Member) -> LedgerOfUnits:
        """Return what a generator says it did."""
        return read_ledger_of_units(node.folder / "ledger")

    def connection(self, name: str = "oracle") -> ConnectionSettings:
        """Return how an operator reaches the bus."""
        servers = tuple(member.url for member in self.nats if member not in self.avoided)
        if self.credentials is None:
            return ConnectionSettings(servers, name, request_seconds=2.0)
        settings = connection_settings(load_config(self.credentials.config("operator"), {}), "cli")
        return replace(settings, servers=servers, name=name, request_seconds=2.0)

    @contextlib.asynccontextmanager
    async def bus(self, name: str = "oracle") -> AsyncIterator[Bus]:
        """Connect to the bus."""
        async with connect(self.connection(name)) as bus:
            yield bus

    def operator_config(self) -> Path:
        """Return the configuration of a person who changes things, for `agentsight --config`."""
        path = self.folder / "operator.yaml"
        bus = {"embedded": False, "servers": list(self.servers)}
        config = {"node": {"cluster": "test", "state_dir": str(self.folder / "operator")}}
        self._write_config(path, "operator", {**config, "bus": bus})
        return path

    @property
    def etcd_access(self) -> EtcdSettings:
        """How an operator reaches etcd."""
        endpoints = tuple(member.url for member in self.etcd)
        return EtcdSettings(
            endpoints, self.credentials.tls("operator") if self.credentials else None
        )

    async def healthy(self, seconds: float = 120.0) -> None:
        """Wait until every bus server that runs takes part fully."""
        for member in self.nats:
            if member.runs:
                await patiently(member.healthy, seconds)

    async def flows(self, seconds: float = 120.0, more: int = 50) -> None:
        """Wait until `more` new findings are in FINDINGS of every partition that has sessions."""
        async with self.bus("flow") as bus:
            before: dict[str, int] = {}

            async def advanced() -> bool:
                counts = await _counts(bus)
                if not before:
                    before.update(counts)
                return len(counts) > 0 and all(
                    count >= before.get(partition, 0) + (more if partition in before else 1)
                    for partition, count in counts.items()
                )

            await patiently(advanced, seconds)

    async def stream_leader(self, stream: str = subjects.EVENTS) -> NatsMember:
        """Return the server that leads a stream."""
        async with self.bus("leader") as bus:
            info = await bus.stream_state(stream)
        name = info.cluster.leader
        return next(member for member in self.nats if member.name == name)

    async def settle(self, folded: Callable[[], Awaitable[bool]], seconds: float = 240.0) -> None:
        """Let the generators deliver what they have and end; then the aggregators; wait for it.

        `folded` tells whether the aggregators have got through all that was in EVENTS when it was
        asked first: that nothing new comes may also mean that they wait for a server.
        """
        for node in self.nodes:
            if node.runs:
                # One that has just been started would die of the signal.
                await eventually(partial(_listens, node), seconds)
                status = await node.stop(seconds)
                assert status == 0, f"{node.name}: status {status}\n{node.output()[-3000:]}"
        await patiently(folded, seconds)
        await self._quiet(seconds)
        for aggregator in self.aggregators:
            if aggregator.runs:
                status = await aggregator.stop(seconds)
                assert status == 0, f"{aggregator.name}: {status}\n{aggregator.output()[-3000:]}"

    async def _quiet(self, seconds: float) -> None:
        """Wait until nothing new has come to FINDINGS for a while: every session is written."""
        async with self.bus("quiet") as bus:
            last, since = -1, monotonic()

            async def unchanged() -> bool:
                nonlocal last, since
                found = (await bus.stream_state(subjects.FINDINGS)).state.last_seq
                if found != last:
                    last, since = found, monotonic()
                return monotonic() - since > _QUIET_SECONDS

            await patiently(unchanged, seconds)

    async def kill_all(self) -> None:
        """Kill every member and remove the disks."""
        await asyncio.gather(*(member.kill() for member in self.members))
        for disk in self.disks.values():
            await disk.remove()


def merged(one: Mapping[str, object], other: Mapping[str, object]) -> dict[str, object]:
    """Return both; where both have a value, that of `other`, section by section."""
    found = dict(one)
    for key, value in other.items():
        mine = found.get(key)
        both = isinstance(mine, dict) and isinstance(value, dict)
        found[key] = merged(mine, value) if both else value  # type: ignore[arg-type]  # just checked
    return found


async def patiently(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Ask until `condition` holds; errors of ours count as no. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(AgentSightError):
                if await condition():
                    return
            await asyncio.sleep(0.1)


def _listens(node: Member) -> bool:
    ready = node.folder / "ready"
    return ready.exists() and ready.read_text() == str(node.pid)


def _announced(aggregator: Member) -> bool:
    note = read_note(aggregator.folder / "state", "aggregator")
    return note is not None and note["pid"] == aggregator.pid


async def _counts(bus: Bus) -> dict[str, int]:
    """Return the number of findings by partition."""
    with translated("counting the findings"):
        info = await bus.js.stream_info(subjects.FINDINGS, subjects_filter="findings.>")
    counts: dict[str, int] = {}
    for subject, count in (info.state.subjects or {}).items():
        partition = subject.split(".")[1]
        counts[partition] = counts.get(partition, 0) + count
    return counts


@contextlib.asynccontextmanager
async def running_cluster(folder: Path, settings: ClusterSettings) -> AsyncIterator[Cluster]:
    """Build and start a cluster in `folder`; kill it at the end."""
    async with running_network() as network:
        cluster = Cluster(folder, settings, network)
        try:
            await cluster.build()
            await cluster.start()
            yield cluster
        except BaseException:
            _keep_logs(cluster)
            raise
        finally:
            await cluster.kill_all()


def _keep_logs(cluster: Cluster) -> None:
    """Copy the members' output to where a failed run can be looked at."""
    kept = cluster.folder.parent / f"{cluster.folder.name}-logs"
    for member in cluster.members:
        source = member.folder / "output.log"
        if source.exists():
            kept.mkdir(exist_ok=True)
            shutil.copy(source, kept / f"{member.name}.log")
