import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(900)]


async def test_everything_is_restarted_one_after_the_other(run):
    async with run("rolling restart of everything") as it:
        cluster = it.cluster
        for member in [*cluster.nats, *cluster.etcd]:
            it.happens()
            await member.stop()
            await member.start()
            await cluster.healthy()
            await cluster.flows()
        for aggregator in cluster.aggregators:
            it.happens()
            assert await aggregator.stop() == 0, aggregator.output()[-2000:]
            await aggregator.start()
            await cluster.ready(aggregator)
            await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
