import asyncio

import pytest
from agentsight_core.etcd.connection import connect
from agentsight_core.etcd.keys import read_prefix

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def leading(cluster):
    """Return the aggregator whose candidacy is the oldest."""
    async with connect(cluster.etcd_access) as etcd:
        entries, _ = await read_prefix(etcd, b"/agentsight/test/aggregators/leader/")
    first = min(entries, key=lambda entry: entry.create_revision)
    name = first.value.decode().rpartition("-")[0]
    return next(member for member in cluster.aggregators if member.name == name)


async def test_a_leader_that_slept_assigns_nothing_when_it_wakes_up(run):
    async with run("leading aggregator stopped for 10 s") as it:
        cluster = it.cluster
        victim = await leading(cluster)
        it.happens()
        victim.pause()
        await it.taken_over()
        await asyncio.sleep(10)
        assert await leading(cluster) is not victim
        # A change while two may believe that they lead.
        other = next(member for member in cluster.aggregators if member is not victim)
        victim.resume()
        await other.kill()
        await cluster.flows()
        await other.start()
        await cluster.ready(other)
        await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
        assert max(it.takeover_s) <= 5.0
