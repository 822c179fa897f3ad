"""Three aggregators share partitions and sinks: each finding reaches each sink once.

Partitions move while findings flow: members leave, come back, are killed.
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from agentsight_aggregator.coordination.etcd import GroupSettings
from agentsight_aggregator.coordination.group import Group
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.export_positions import exported_up_to
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.etcd import keys as etcd_keys
from agentsight_core.etcd.connection import Etcd, connect
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.cluster.units import unit_events
from agentsight_core.testing.etcd_cluster import running_etcd
from agentsight_core.testing.otlp_receiver import Received, http_receiver

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

PARTITIONS = 4
NAMES = ("one", "two", "three")
# Batches of an exporter: what may be repeated for each partition of a member that is killed.
BATCH = 256


class Aggregators:
    """Aggregators as processes that export to the same receiver, and to a file each."""

    def __init__(self, folder: Path, bus: RunningBus, etcd: Etcd, receiver: int) -> None:
        self._etcd = etcd
        self._folder = folder
        token = folder / "token"
        token.write_text(bus.server.token)
        self.bus = bus.bus
        self._common = {
            "bus": {
                "embedded": False,
                "servers": [bus.server.url],
                "token_file": str(token),
                "partitions": PARTITIONS,
            },
            "aggregator": {"tick_interval_ms": 500},
            "coordination": {"endpoints": list(etcd.settings.endpoints), "lease_s": 2},
        }
        self._receiver = f"http://127.0.0.1:{receiver}"
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        config = {
            **self._common,
            "node": {"cluster": "test", "name": name, "state_dir": str(self._folder / name)},
            "exporters": {
                "prometheus": {"port": 0},
                "otlp": {"endpoint": self._receiver, "protocol": "http/protobuf"},
                "jsonl": {"path": str(self._folder / f"{name}.jsonl")},
            },
        }
        path = self._folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        self.processes[name] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentsight_aggregator", "--config", str(path))
        )

    async def end(self, name: str, number: signal.Signals) -> int:
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await process.wait()

    async def kill_all(self) -> None:
        for name in list(self.processes):
            await self.end(name, signal.SIGKILL)

    async def until_shared(self) -> None:
        """Wait until the partitions are shared evenly, as etcd has it."""

        async def shared() -> bool:
            group = Group(GroupSettings("test", "", PARTITIONS).keys)
            group.load((await etcd_keys.read_prefix(self._etcd, group.keys.prefix))[0])
            owners = Counter(owner.rpartition("-")[0] for owner in group.owners().values())
            mine = [owners[name] for name in self.processes]
            return sum(mine) == PARTITIONS and max(mine) - min(mine) <= 1

        await patiently(shared)

    def lines(self) -> list[str]:
        """Return the ids of the lines of all files."""
        files = self._folder.glob("*.jsonl*")
        return [json.loads(line)["id"] for file in files for line in file.read_bytes().splitlines()]


async def patiently(condition, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # it is in other processes
            await asyncio.sleep(0.05)


async def publish(bus: Bus, seconds: float, pause: float = 0.01) -> None:
    """Publish units of eight sessions for a while."""
    until, unit = time.monotonic() + seconds, 0
    first = await units_so_far(bus)
    while time.monotonic() < until:
        unit += 1
        for session in range(1, 9):
            events = unit_events(session, first + unit, time.time_ns())
            header = pb.FrameHeader(
                agent_id="agent",
                epoch_ns=1,
                session=session,
                seq=first + unit,
                event_count=len(events),
                node="node",
                cluster="test",
            )
            frame = wire.encode_frame(header, wire.encode_events(events))
            await bus.publish(Outgoing(subjects.event_subject(header), frame))
        await asyncio.sleep(pause)


async def units_so_far(bus: Bus) -> int:
    last = await bus.last(subjects.EVENTS, "events.>")
    return wire.decode_header(last.data).seq if last else 0


async def stored(bus: Bus) -> list[Finding]:
    """Return all findings, when the exporters of all partitions have them."""

    async def exported() -> bool:
        for partition in range(PARTITIONS):
            last = await bus.last(subjects.FINDINGS, subjects.findings_filter(partition))
            for name in ("otlp", "jsonl"):
                if last and await exported_up_to(bus, name, partition) < last.sequence:
                    return False
        return True

    await patiently(exported)
    found, sequence = [], 1
    while message := await bus.next(subjects.FINDINGS, sequence, "findings.>"):
        found.append(Finding.FromString(message.data))
        sequence = message.sequence + 1
    return found


@contextlib.asynccontextmanager
async def three_aggregators(folder: Path) -> AsyncIterator[tuple[Aggregators, Received]]:
    async with (
        running_bus(folder / "bus", BusSettings(partitions=PARTITIONS)) as bus,
        running_etcd(folder / "etcd", size=1) as cluster,
        connect(cluster.settings) as etcd,
        http_receiver() as received,
    ):
        aggregators = Aggregators(folder, bus, etcd, received.port)
        try:
            for name in NAMES:
                await aggregators.start(name)
            await aggregators.until_shared()
            yield aggregators, received
        finally:
            await aggregators.kill_all()


def spans(findings: list[Finding]) -> list[str]:
    return [f.span.span_id.hex() for f in findings if f.WhichOneof("body") == "span"]


async def test_a_rolling_restart_repeats_nothing_and_leaves_nothing_out(tmp_path: Path) -> None:
    async with three_aggregators(tmp_path) as (aggregators, received):
        publishing = asyncio.create_task(publish(aggregators.bus, 10, pause=0.05))
        for name in NAMES:
            assert await aggregators.end(name, signal.SIGTERM) == 0
            await aggregators.start(name)
            await aggregators.until_shared()
        await publishing
        for name in NAMES:
            assert await aggregators.end(name, signal.SIGTERM) == 0
            if aggregators.processes:
                await aggregators.until_shared()
        findings = await stored(aggregators.bus)
        sent = [span.span_id.hex() for span in received.spans()]
        lines = aggregators.lines()
    assert len(findings) > 500
    assert Counter(lines) == Counter(finding.id.hex() for finding in findings)
    assert Counter(sent) == Counter(spans(findings))


async def test_only_the_batch_under_way_of_a_killed_member_comes_again(tmp_path: Path) -> None:
    async with three_aggregators(tmp_path) as (aggregators, received):
        publishing = asyncio.create_task(publish(aggregators.bus, 6))
        await patiently_spans(received)
        await aggregators.end("two", signal.SIGKILL)
        await aggregators.until_shared()
        await aggregators.start("two")
        await aggregators.until_shared()
        await publishing
        findings = await stored(aggregators.bus)
        sent = Counter(span.span_id.hex() for span in received.spans())
        lines = Counter(aggregators.lines())
    assert lines.keys() == {finding.id.hex() for finding in findings}
    assert sent.keys() == set(spans(findings))
    lost_share = -(-PARTITIONS // len(NAMES))
    assert lines.total() - len(lines) <= lost_share * BATCH
    assert sent.total() - len(sent) <= lost_share * BATCH
    print(f"again: {lines.total() - len(lines)} lines, {sent.total() - len(sent)} spans")


async def patiently_spans(received: Received) -> None:
    async def some() -> bool:
        return len(received.spans()) > 50

    await patiently(some)
