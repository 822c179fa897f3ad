import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_aggregators_come_and_go_under_load(run):
    async with run("aggregators 1 → 3 → 1", aggregators=1) as it:
        cluster = it.cluster
        for number in (1, 2):
            member = await cluster.add_aggregator(f"agg{number}")
            it.happens()
            await member.start()
            await cluster.ready(member)
            await cluster.flows()
        for leaving in cluster.aggregators[:2]:
            it.happens()
            assert await leaving.stop() == 0, leaving.output()[-2000:]
            await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
