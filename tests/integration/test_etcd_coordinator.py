"""Groups of aggregators over a real etcd cluster, while members and servers come, die and hang."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_aggregator.coordination.coordinator import Assignment
from agentsight_aggregator.coordination.etcd import EtcdCoordinator, GroupSettings
from agentsight_aggregator.coordination.leading import assign
from agentsight_core.errors import Retryable
from agentsight_core.etcd import election, leases, methods
from agentsight_core.etcd import keys as etcd_keys
from agentsight_core.etcd.connection import Etcd, connect
from agentsight_core.etcd.leases import now_seconds
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.etcd_cluster import EtcdCluster, running_etcd

pytestmark = pytest.mark.server

PARTITIONS = 8
LEASE_SECONDS = 3
# Required of a take-over after kill -9.
TAKEOVER_SECONDS = 5.0
KEYS = GroupSettings("test", "", PARTITIONS).keys
PROGRAM = Path(__file__).with_name("coordination_member.py")

Owned = dict[int, int]


class Member:
    """A member in a process of its own, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reading = asyncio.create_task(self._read())
        # (time, partition to fence)
        self.said: list[tuple[float, Owned]] = []

    @property
    def owned(self) -> Owned:
        return self.said[-1][1] if self.said else {}

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            self.said.append((told["at"], {int(p): fence for p, fence in told["mine"]}))

    def pause(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    async def end(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._process.wait()
        await self._reading


class Members:
    """Starts members of one group and kills them at the end."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self._endpoints = ",".join(cluster.settings.endpoints)
        self._all: list[Member] = []

    async def start(self, name: str, lease_seconds: int = LEASE_SECONDS) -> Member:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), self._endpoints, name),
            *(str(PARTITIONS), str(lease_seconds)),
            stdout=asyncio.subprocess.PIPE,
        )
        self._all.append(Member(process))
        return self._all[-1]

    async def settled(self, *members: Member) -> None:
        """Return when `members` own every partition once, in even shares."""

        def even() -> bool:
            owned = sorted(partition for member in members for partition in member.owned)
            counts = sorted(len(member.owned) for member in members)
            return owned == list(range(PARTITIONS)) and counts[-1] - counts[0] <= 1

        await eventually(even)

    async def kill_all(self) -> None:
        for member in self._all:
            await member.end(signal.SIGKILL)


@contextlib.asynccontextmanager
async def running_group(folder: Path) -> AsyncIterator[tuple[EtcdCluster, Members]]:
    async with running_etcd(folder) as cluster:
        members = Members(cluster)
        try:
            yield cluster, members
        finally:
            await members.kill_all()


async def test_killed_member_is_replaced_and_nothing_else_moves(tmp_path: Path) -> None:
    async with running_group(tmp_path) as (_, members):
        # The first one leads the group: its death costs an election too.
        first = await members.start("first")
        await eventually(lambda: len(first.owned) == PARTITIONS)
        others = [await members.start("second"), await members.start("third")]
        await members.settled(first, *others)
        before = [other.owned for other in others]
        lost = first.owned
        killed_at = now_seconds()
        await first.end(signal.SIGKILL)
        await members.settled(*others)
        took = max(other.said[-1][0] for other in others) - killed_at
    assert took < TAKEOVER_SECONDS
    # What stayed has its fence still; what moved has a higher one.
    for was, other in zip(before, others, strict=True):
        assert was.items() <= other.owned.items()
    gained = {p: f for other in others for p, f in other.owned.items() if p in lost}
    assert gained.keys() == lost.keys()
    assert all(gained[partition] > fence for partition, fence in lost.items())


async def test_paused_owner_owns_nothing_when_it_wakes(tmp_path: Path) -> None:
    async with running_group(tmp_path) as (_, members):
        first = await members.start("first")
        await eventually(lambda: len(first.owned) == PARTITIONS)
        second = await members.start("second")
        await members.settled(first, second)
        # The second one waits to be elected: the server that it waits at must not keep it alive.
        for sleeper, other in ((second, first), (first, second)):
            lost, said = sleeper.owned, len(sleeper.said)
            paused_at = now_seconds()
            sleeper.pause()
            await members.settled(other)
            assert other.said[-1][0] - paused_at < TAKEOVER_SECONDS
            sleeper.resume()
            await members.settled(sleeper, other)
            woken = sleeper.said[said][1]
            assert woken == {}
            assert not set(lost.items()) & set(sleeper.owned.items())


async def test_death_of_the_etcd_leader_moves_nothing(tmp_path: Path) -> None:
    async with running_group(tmp_path) as (cluster, members):
        # Longer than etcd takes for its election, even if that has to be repeated.
        group = [await members.start(name, 10) for name in ("first", "second")]
        await members.settled(*group)
        said = [len(member.said) for member in group]
        await cluster.kill(await cluster.leader())
        # Once a new member is served the election is over.
        third = await members.start("third", 10)
        await members.settled(*group, third)
    for member, count in zip(group, said, strict=True):
        before, *after = [owned for _, owned in member.said[count - 1 :]]
        # It gave something to the third one, and nothing else happened.
        assert len(after) == 1
        assert after[0].items() < before.items()


async def test_owners_go_on_without_etcd_until_their_leases_could_end(tmp_path: Path) -> None:
    async with running_group(tmp_path) as (cluster, members):
        group = [await members.start("first"), await members.start("second")]
        await members.settled(*group)
        owned = [member.owned for member in group]
        killed_from = now_seconds()
        await cluster.kill()
        killed_until = now_seconds()
        await eventually(lambda: all(not member.owned for member in group))
        for member in group:
            held = member.said[-1][0]
            # Renewed at most a tenth of the lease before, and given up a tenth before its end.
            assert held - killed_from > LEASE_SECONDS * (1 - 1 / 10 - 1 / 10) - 0.3
            assert held - killed_until < LEASE_SECONDS
        await cluster.start()
        await members.settled(*group)
    for was, member in zip(owned, group, strict=True):
        assert not was.items() & member.owned.items()


async def written_since(etcd: Etcd, revision: int) -> int:
    """Return how many assignments have been written after `revision`."""
    entries, last = await etcd_keys.read_prefix(etcd, KEYS.prefix + b"assign/")
    if last == revision:
        return 0
    watch = etcd_keys.watch_prefix(etcd, KEYS.prefix, revision + 1)
    written = seen = 0
    async with contextlib.aclosing(watch) as changes:
        while seen < max(entry.mod_revision for entry in entries):
            events = await anext(changes)
            seen = events[-1].kv.mod_revision
            written += sum(event.kv.key.startswith(KEYS.prefix + b"assign/") for event in events)
    return written


async def revision_now(etcd: Etcd) -> int:
    return (await etcd_keys.read_prefix(etcd, KEYS.prefix))[1]


async def test_moves_are_few(tmp_path: Path) -> None:
    async with running_group(tmp_path) as (cluster, members), connect(cluster.settings) as etcd:
        first = await members.start("first")
        await eventually(lambda: len(first.owned) == PARTITIONS)
        before = await revision_now(etcd)
        second = await members.start("second")
        await members.settled(first, second)
        assert await written_since(etcd, before) == PARTITIONS // 2

        before = await revision_now(etcd)
        third = await members.start("third")
        await members.settled(first, second, third)
        assert await written_since(etcd, before) == PARTITIONS // 3

        before, leaving, share = await revision_now(etcd), now_seconds(), len(first.owned)
        await first.end(signal.SIGTERM)
        await members.settled(second, third)
        # At once, not after its lease: it has given everything up itself, leadership too.
        assert max(m.said[-1][0] for m in (second, third)) - leaving < LEASE_SECONDS / 2
        assert await written_since(etcd, before) == share


async def test_leader_prepares_before_it_assigns_or_lets_another_lead(tmp_path: Path) -> None:
    prepared: list[str] = []
    async with running_etcd(tmp_path, size=1) as cluster:

        def member(name: str, failures: int) -> EtcdCoordinator:
            async def prepare() -> None:
                assert not coordinators[name].is_leader
                prepared.append(name)
                if prepared.count(name) <= failures:
                    raise Retryable("the bus is away")

            settings = GroupSettings("test", name, PARTITIONS, LEASE_SECONDS)
            coordinators[name] = EtcdCoordinator(cluster.settings, settings, prepare)
            return coordinators[name]

        coordinators: dict[str, EtcdCoordinator] = {}
        async with member("poor", 1000) as poor:
            await eventually(lambda: prepared.count("poor") >= 2)
            async with member("able", 0) as able:
                await eventually(lambda: able.is_leader)
                assert not poor.is_leader
                async with asyncio.timeout(10):
                    async for mine in able.assignments():
                        if len(mine) == PARTITIONS // 2:
                            break
            await eventually(lambda: not able.is_leader)
    assert prepared.count("able") == 1


async def test_member_that_was_removed_by_hand_joins_again(tmp_path: Path) -> None:
    async with (
        running_etcd(tmp_path, size=1) as cluster,
        connect(cluster.settings) as etcd,
        EtcdCoordinator(cluster.settings, GroupSettings("test", "a", PARTITIONS)) as coordinator,
    ):
        told: list[frozenset[Assignment]] = []

        async def follow() -> None:
            async for mine in coordinator.assignments():
                told.append(mine)  # noqa: PERF401  # looked at while it grows

        following = asyncio.create_task(follow())
        await eventually(lambda: len(told[-1:] and told[-1]) == PARTITIONS)
        was, old = told[-1], coordinator.member_id
        await etcd_keys.delete_prefix(etcd, KEYS.prefix)
        await eventually(
            lambda: coordinator.member_id not in ("", old) and len(told[-1]) == PARTITIONS
        )
        assert frozenset() in told[told.index(was) :]
        assert not any(coordinator.owns(assignment) for assignment in was)
        following.cancel()


async def test_member_that_was_stopped_knows_it_before_anything_else(tmp_path: Path) -> None:
    async with (
        running_etcd(tmp_path, size=1) as cluster,
        EtcdCoordinator(cluster.settings, GroupSettings("test", "a", PARTITIONS)) as coordinator,
    ):
        async with asyncio.timeout(10):
            async for mine in coordinator.assignments():
                if mine:
                    break
        assert all(coordinator.owns(assignment) for assignment in mine)
        # As SIGSTOP does it: nothing of this process runs meanwhile.
        stopped_at = now_seconds()
        while now_seconds() < stopped_at + LEASE_SECONDS:
            time.sleep(0.1)  # noqa: ASYNC251  # the loop is meant to stand still
        assert not any(coordinator.owns(assignment) for assignment in mine)


async def test_former_leader_assigns_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_etcd(tmp_path, size=1) as cluster, connect(cluster.settings) as etcd:
        lease = await leases.grant(etcd, 30)
        await etcd_keys.put(etcd, KEYS.member("a"), b"{}", lease.id)
        leader = await election.campaign(etcd, KEYS.election, lease.id, b"a")
        call = etcd.call

        async def too_late(method: methods.Method, *args: object, **options: object) -> object:
            """Lose the election between what the leader reads and what it writes."""
            if method is methods.TXN:
                await election.resign(etcd, leader, 5.0)
            return await call(method, *args, **options)

        monkeypatch.setattr(etcd, "call", too_late)
        assert not await assign(etcd, KEYS, PARTITIONS, leader)
        monkeypatch.undo()
        # By now it can read that it leads no more.
        assert not await assign(etcd, KEYS, PARTITIONS, leader)
        assert await etcd_keys.delete_prefix(etcd, KEYS.prefix + b"assign/") == 0
        again = await election.campaign(etcd, KEYS.election, lease.id, b"a")
        assert await assign(etcd, KEYS, PARTITIONS, again)
        assert await etcd_keys.delete_prefix(etcd, KEYS.prefix + b"assign/") == PARTITIONS
