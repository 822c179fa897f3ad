import asyncio
import contextlib

import pytest
from agentsight_core.bus import subjects
from agentsight_core.errors import AgentSightError

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]

_SYNC_S = 0.5
_SLOW_FOR_S = 20.0


async def leaders_of(cluster, changes: list[str]) -> None:
    """Note the leader of EVENTS each time that it is another one, until cancelled."""
    async with cluster.bus("leaders") as bus:
        while True:
            with contextlib.suppress(AgentSightError):
                leader = (await bus.stream_state(subjects.EVENTS)).cluster.leader
                if leader and [leader] != changes[-1:]:
                    changes.append(leader)
            await asyncio.sleep(0.5)


@pytest.mark.parametrize("is_leader", [True, False], ids=["leader", "follower"])
async def test_a_bus_server_whose_disk_is_slow(run, is_leader):
    kind = "leader of EVENTS" if is_leader else "a follower"
    async with run(f"nats: sync takes 500 ms on {kind}", lazy_disks=("nats",), rate=12) as it:
        cluster = it.cluster
        leader = await cluster.stream_leader()
        others = [member for member in cluster.nats if member is not leader]
        victim = leader if is_leader else it.random.choice(others)
        leaders: list[str] = []
        watching = asyncio.create_task(leaders_of(cluster, leaders))
        it.happens()
        cluster.disks[victim.name].slow_down(_SYNC_S)
        await asyncio.sleep(_SLOW_FOR_S)
        # It is slower, and goes on.
        await cluster.flows(more=1)
        cluster.disks[victim.name].slow_down(0.0)
        watching.cancel()
        await asyncio.wait([watching])
        await cluster.flows()
        verdict = await it.finish(settle_s=240)
        it.note(elections=len(leaders) - 1)
        assert not verdict.faults
        assert len(leaders) <= 2


async def test_an_etcd_member_whose_disk_is_slow(run):
    async with run("etcd: sync takes 500 ms on one", lazy_disks=("etcd",), lease_seconds=5) as it:
        cluster = it.cluster
        victim = it.random.choice(cluster.etcd)
        it.happens()
        cluster.disks[victim.name].slow_down(_SYNC_S)
        await asyncio.sleep(_SLOW_FOR_S)
        await cluster.flows()
        cluster.disks[victim.name].slow_down(0.0)
        verdict = await it.finish()
        assert not verdict.faults
