import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_members_of_etcd_die_and_come_back(run, count):
    async with run(f"etcd: {count} of 3 killed") as it:
        victims = it.random.sample(it.cluster.etcd, count)
        it.happens()
        await asyncio.gather(*(victim.kill() for victim in victims))
        if count == 1:
            await it.cluster.flows()
        else:
            # Without a majority the leases end: nobody owns anything until etcd is back.
            await asyncio.sleep(8)
        await asyncio.gather(*(victim.start() for victim in victims))
        await it.cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
