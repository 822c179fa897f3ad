import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "seconds", [pytest.param(6, id="short"), pytest.param(60, id="long", marks=pytest.mark.matrix)]
)
async def test_an_owner_that_slept_writes_nothing_when_it_wakes_up(run, seconds):
    async with run(f"aggregator stopped for {seconds} s") as it:
        victim = it.random.choice(it.cluster.aggregators)
        it.happens()
        victim.pause()
        # The others go on with its partitions.
        await it.taken_over()
        await asyncio.sleep(seconds)
        victim.resume()
        await it.cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
        assert it.takeover_s
        # An absolute time is no gate for `make test` on a machine that may be busy.
        assert seconds < 60 or max(it.takeover_s) <= 5.0
