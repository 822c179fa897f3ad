import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_a_consumer_that_is_slow_gets_nothing_twice(run):
    # One aggregator that runs a tenth of the time: every fetch and save comes late.
    async with run("aggregator slow", aggregators=1, lease_seconds=10) as it:
        victim = it.cluster.aggregators[0]
        it.happens()
        for _ in range(40):
            victim.pause()
            await asyncio.sleep(0.45)
            victim.resume()
            await asyncio.sleep(0.05)
        await it.cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
