import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_what_the_bus_has_acknowledged_survives_the_power_failure_of_all_servers(run):
    async with run("nats: power failure of all", lazy_disks=("nats",), rate=12) as it:
        cluster = it.cluster
        for _ in range(2):
            it.happens()
            await cluster.lose_power(*cluster.nats)
            await asyncio.gather(*(member.start() for member in cluster.nats))
            await cluster.healthy()
            await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults


async def test_what_etcd_has_acknowledged_survives_the_power_failure_of_all_members(run):
    async with run("etcd: power failure of all", lazy_disks=("etcd",)) as it:
        cluster = it.cluster
        it.happens()
        await cluster.lose_power(*cluster.etcd)
        await asyncio.gather(*(member.start() for member in cluster.etcd))
        await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
