import asyncio

import pytest
from agentsight_core.bus import subjects

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_a_consumer_that_is_slow_gets_nothing_twice(run):
    # One aggregator that runs a tenth of the time: every fetch, ack and save comes late.
    async with run("aggregator slow", aggregators=1, lease_seconds=10) as it:
        victim = it.cluster.aggregators[0]
        it.happens()
        for _ in range(40):
            victim.pause()
            await asyncio.sleep(0.45)
            victim.resume()
            await asyncio.sleep(0.05)
        await it.cluster.flows()
        async with it.cluster.bus() as bus:
            redelivered = [
                (
                    await bus.consumer_info(subjects.EVENTS, subjects.partition_consumer(number))
                ).num_redelivered
                for number in range(it.cluster.settings.partitions)
            ]
        verdict = await it.finish()
        it.note(redelivered=sum(redelivered))
        assert not verdict.faults
        assert sum(redelivered) == 0
