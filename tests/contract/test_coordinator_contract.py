"""What every coordinator promises. A new one joins by adding a parameter to `coordinator`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_aggregator.coordination.coordinator import Assignment, Coordinator
from agentsight_aggregator.coordination.etcd import EtcdCoordinator, GroupSettings
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_core.testing.etcd_cluster import running_etcd

PARTITIONS = 4


@pytest.fixture(params=["local", pytest.param("etcd", marks=pytest.mark.server)])
async def coordinator(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Coordinator]:
    if request.param == "local":
        yield LocalCoordinator(PARTITIONS)
    else:
        async with running_etcd(tmp_path, size=1) as cluster:
            yield EtcdCoordinator(cluster.settings, GroupSettings("test", "only", PARTITIONS))


async def first(coordinator: Coordinator) -> frozenset[Assignment]:
    async with asyncio.timeout(10):
        async for mine in coordinator.assignments():
            if mine:
                return mine
    raise AssertionError("the only member of a group got nothing")


async def test_only_member_owns_every_partition_once(coordinator: Coordinator) -> None:
    async with coordinator:
        mine = await first(coordinator)
        assert sorted(assignment.partition for assignment in mine) == list(range(PARTITIONS))
        assert all(coordinator.owns(assignment) for assignment in mine)
        assert coordinator.is_leader, "somebody has to do what one of the group does"


async def test_nothing_is_owned_before_joining_and_after_leaving(coordinator: Coordinator) -> None:
    some = Assignment(0, fence=1)
    assert not coordinator.owns(some)
    async with coordinator:
        mine = await first(coordinator)
    assert not any(coordinator.owns(assignment) for assignment in mine)


async def test_other_fence_is_not_owned(coordinator: Coordinator) -> None:
    async with coordinator:
        for assignment in await first(coordinator):
            assert not coordinator.owns(Assignment(assignment.partition, assignment.fence + 1))


async def test_assignments_end_when_the_member_leaves(coordinator: Coordinator) -> None:
    async def follow() -> None:
        async for _ in coordinator.assignments():
            pass

    async with coordinator:
        following = asyncio.create_task(follow())
        await first(coordinator)
        assert not following.done()
    async with asyncio.timeout(10):
        await following
