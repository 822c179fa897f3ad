import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_a_flood_of_one_node_is_declared_where_it_is_lost(run):
    async with run("event flood on one node") as it:
        flooding = await it.cluster.add_node(
            "flood", rate=3000, padding=4000, **{"spool-bytes": 4 << 20}
        )
        it.happens()
        await flooding.start()
        await asyncio.sleep(15)
        await it.cluster.flows()
        verdict = await it.finish(settle_s=240)
        assert not verdict.faults
