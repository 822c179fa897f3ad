"""Two aggregators as processes over real servers: what one leaves the other finishes, exactly."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_aggregator.coordination.etcd import GroupSettings
from agentsight_aggregator.coordination.group import Group
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.worker.folding import Folding
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.generations import Generation, GenerationLog
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.etcd import keys as etcd_keys
from agentsight_core.etcd.connection import Etcd, connect
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import AgentLog, text, tool_use, user
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.etcd_cluster import EtcdCluster, running_etcd

pytestmark = pytest.mark.server

PARTITIONS = 4
SESSIONS = range(1, 25)
TAKEOVER_SECONDS = 5.0
CLUSTER = "test"
Frames = list[tuple[pb.FrameHeader, bytes]]


def session_frames(session: int) -> Frames:
    """Return what an agent sends of a session: three calls, two processes, the end."""
    log = AgentLog(session)
    log.start()
    for number in range(3):
        at = 10.0 * number + session
        call = tool_use(f"call{number}", "Bash", command=f"make target{number}")
        log.call(at, at + 1, [user(f"do {number}")], [call])
        log.run(at + 2, at + 3, 200 + number, ["make", f"target{number}"])
        log.call(at + 4, at + 5, [user(f"and {number}?")], [text("done")])
    log.end(100.0)
    frames = []
    for seq, start in enumerate(range(0, len(log.events), 4), start=1):
        events = log.events[start : start + 4]
        header = pb.FrameHeader(
            agent_id="agent-1",
            epoch_ns=1,
            session=session,
            seq=seq,
            event_count=len(events),
            node="node-1",
            cluster=CLUSTER,
        )
        frames.append((header, wire.encode_frame(header, wire.encode_events(events))))
    return frames


async def publish(bus: Bus, frames: Frames) -> None:
    for header, frame in frames:
        await bus.publish(Outgoing(subjects.event_subject(header), frame))


async def undisturbed(bus: Bus, partition: int) -> list[bytes]:
    """Return the findings of a fold over the partition's log to which nothing happens."""
    folding = Folding(partition, build_fold(FoldSettings()))
    findings, tick = [], subjects.tick_subject(partition)
    last = (await bus.stream_state(subjects.EVENTS)).state.last_seq
    for sequence in range(1, last + 1):
        message = await bus.get(subjects.EVENTS, sequence)
        if message.subject == tick:
            result = folding.tick(sequence, message.data)
        elif message.subject.startswith(f"events.{partition}."):
            result = folding.frame(sequence, message.data)
        else:
            continue
        findings += [f.SerializeToString(deterministic=True) for f in result.findings]
    return findings


async def stored(bus: Bus, partition: int) -> list[bytes]:
    found, sequence, pattern = [], 1, subjects.findings_filter(partition)
    while message := await bus.next(subjects.FINDINGS, sequence, pattern):
        found.append(message.data)
        sequence = message.sequence + 1
    return found


class Aggregators:
    """Starts aggregators as processes; `kill_all` at the end."""

    def __init__(self, folder: Path, bus: RunningBus, etcd: EtcdCluster) -> None:
        self._folder = folder
        token = folder / "token"
        token.write_text(bus.server.token)
        self._common = {
            "bus": {
                "embedded": False,
                "servers": [bus.server.url],
                "token_file": str(token),
                "partitions": PARTITIONS,
            },
            "coordination": {"endpoints": list(etcd.settings.endpoints)},
            "exporters": {"prometheus": {"port": 0}},
        }
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, name: str) -> None:
        node = {"cluster": CLUSTER, "name": name, "state_dir": str(self._folder / name)}
        path = self._folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**self._common, "node": node}))
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


async def owned(etcd: Etcd) -> dict[str, set[int]]:
    """Return the partitions of each aggregator by its name, as etcd has them."""
    group = Group(GroupSettings(CLUSTER, "", PARTITIONS).keys)
    group.load((await etcd_keys.read_prefix(etcd, group.keys.prefix))[0])
    shares: dict[str, set[int]] = {}
    for partition, owner in group.owners().items():
        shares.setdefault(owner.rpartition("-")[0], set()).add(partition)
    return shares


@contextlib.asynccontextmanager
async def two_aggregators(folder: Path) -> AsyncIterator[tuple[Bus, Etcd, Aggregators]]:
    async with (
        running_bus(folder / "bus", BusSettings(partitions=PARTITIONS)) as bus,
        running_etcd(folder / "etcd") as cluster,
        connect(cluster.settings) as etcd,
    ):
        aggregators = Aggregators(folder, bus, cluster)
        try:
            await aggregators.start("left")
            await aggregators.start("right")
            await until_owned(etcd, {"left": 2, "right": 2})
            yield bus.bus, etcd, aggregators
        finally:
            await aggregators.kill_all()


async def until_owned(etcd: Etcd, wanted: dict[str, int]) -> None:
    async with asyncio.timeout(20):
        while {name: len(share) for name, share in (await owned(etcd)).items()} != wanted:  # noqa: ASYNC110  # it is in other processes
            await asyncio.sleep(0.02)


async def until_written(bus: Bus, partitions: set[int], places: dict[int, int]) -> float:
    """Return when each of the partitions has a finding behind its place, by the monotonic clock."""
    async with asyncio.timeout(30):
        while True:
            last = {p: await last_finding(bus, p) for p in partitions}
            if all(last[p] > places[p] for p in partitions):
                return time.monotonic()
            await asyncio.sleep(0.02)


async def last_finding(bus: Bus, partition: int) -> int:
    last = await bus.last(subjects.FINDINGS, subjects.findings_filter(partition))
    return last.sequence if last else 0


async def verify(bus: Bus) -> None:
    """Findings are, byte for byte and in order, those of an undisturbed fold over the same log."""
    total = 0
    for partition in range(PARTITIONS):
        expected = await undisturbed(bus, partition)
        async with asyncio.timeout(30):
            while len(await stored(bus, partition)) < len(expected):  # noqa: ASYNC110  # it is in another process
                await asyncio.sleep(0.05)
        found = await stored(bus, partition)
        assert found == expected
        assert len(set(found)) == len(found)
        total += len(found)
    # A call, a tool and a process each are spans: there is something to compare.
    assert total > 9 * len(SESSIONS)


@pytest.mark.parametrize("victim", ["left", "right"])
async def test_killed_aggregator_is_replaced_and_its_findings_are_exact(
    tmp_path: Path, victim: str
) -> None:
    """One of the two leads the group: each is the victim once."""
    frames = [frame for session in SESSIONS for frame in session_frames(session)]
    frames.sort(key=lambda frame: frame[0].seq)
    half = len(frames) // 2
    async with two_aggregators(tmp_path) as (bus, etcd, aggregators):
        lost = (await owned(etcd))[victim]
        await publish(bus, frames[: half // 2])
        await until_written(bus, lost, dict.fromkeys(lost, 0))
        # It dies in the middle of its work.
        await publish(bus, frames[half // 2 : half])
        killed_at = time.monotonic()
        await aggregators.end(victim, signal.SIGKILL)
        # A former owner may finish a step that it has begun: only what comes later counts.
        (survivor,) = aggregators.processes
        await until_owned(etcd, {survivor: PARTITIONS})
        places = {partition: await last_finding(bus, partition) for partition in lost}
        publishing = asyncio.create_task(publish(bus, frames[half:]))
        took = await until_written(bus, lost, places) - killed_at
        await publishing
        await verify(bus)
    assert took < TAKEOVER_SECONDS
    print(f"take-over after kill -9: {took:.2f} s")


async def test_paused_aggregator_is_refused_when_it_wakes(tmp_path: Path) -> None:
    frames = [frame for session in SESSIONS for frame in session_frames(session)]
    frames.sort(key=lambda frame: frame[0].seq)
    third = len(frames) // 3
    async with two_aggregators(tmp_path) as (bus, etcd, aggregators):
        lost = (await owned(etcd))["left"]
        await publish(bus, frames[:third])
        await until_written(bus, lost, dict.fromkeys(lost, 0))
        os.kill(aggregators.processes["left"].pid, signal.SIGSTOP)
        places = {partition: await last_finding(bus, partition) for partition in lost}
        await publish(bus, frames[third : 2 * third])
        await until_written(bus, lost, places)
        os.kill(aggregators.processes["left"].pid, signal.SIGCONT)
        await publish(bus, frames[2 * third :])
        # It takes part again, with a state of its own no more.
        await until_owned(etcd, {"left": 2, "right": 2})
        await verify(bus)


async def test_aggregator_that_leaves_is_replaced_at_once(tmp_path: Path) -> None:
    frames = [frame for session in SESSIONS for frame in session_frames(session)]
    async with two_aggregators(tmp_path) as (bus, etcd, aggregators):
        await publish(bus, frames[: len(frames) // 2])
        leaving = asyncio.create_task(aggregators.end("left", signal.SIGTERM))
        await publish(bus, frames[len(frames) // 2 :])
        assert await leaving == 0
        left_at = time.monotonic()
        await until_owned(etcd, {"right": PARTITIONS})
        assert time.monotonic() - left_at < 1.0
        await verify(bus)


async def test_a_bad_generation_ends_no_leader(tmp_path: Path) -> None:
    """Who leads refuses it; who does not has nothing to do with it until it is elected."""
    async with two_aggregators(tmp_path) as (bus, etcd, aggregators):
        log = GenerationLog(bus)
        await log.append(Generation(1, {"bus": {"events_max_bytes": 1 << 50}}))
        async with asyncio.timeout(30):
            while {one.offered for one in await log.reports()} != {1}:  # noqa: ASYNC110  # it is in other processes
                await asyncio.sleep(0.05)
        refused = [one for one in await log.reports() if not one.ok]
        assert ["insufficient storage" in text for one in refused for text in one.problems] == [
            True
        ]
        # In one of the two turns it is the leader that dies.
        for victim, survivor in (("left", "right"), ("right", "left")):
            await aggregators.end(victim, signal.SIGKILL)
            await until_owned(etcd, {survivor: PARTITIONS})
            await aggregators.start(victim)
            await until_owned(etcd, {"left": 2, "right": 2})
        processes = aggregators.processes.values()
        assert [process.returncode for process in processes] == [None, None]
        assert (await bus.stream_state(subjects.EVENTS)).config.max_bytes < 1 << 50
