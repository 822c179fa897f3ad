import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "times", [pytest.param(3, id="three"), pytest.param(20, id="twenty", marks=pytest.mark.matrix)]
)
async def test_what_was_in_the_spool_arrives(run, times):
    async with run("agent killed") as it:
        for _ in range(times):
            victim = it.random.choice(it.cluster.nodes)
            await asyncio.sleep(it.random.uniform(0.0, 1.0))
            it.happens()
            await victim.kill()
            await victim.start()
            await asyncio.sleep(it.random.uniform(1.0, 2.0))
        verdict = await it.finish()
        assert not verdict.faults
