import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

# From kill -9 to the first finding of the new owner.
TAKEOVER_S = 5.0


async def kill_and_restart(it, times: int) -> None:
    cluster = it.cluster
    for _ in range(times):
        victim = it.random.choice(cluster.aggregators)
        it.happens()
        await victim.kill()
        await it.taken_over()
        await victim.start()
        await cluster.ready(victim)
        # It takes its share again: partitions move back while events flow.
        await cluster.flows()


# Its bar is an absolute time: no gate for `make test` on a machine that may be busy.
@pytest.mark.matrix
async def test_another_takes_over_within_five_seconds(run):
    async with run("aggregator killed") as it:
        await kill_and_restart(it, 2)
        verdict = await it.finish()
        assert not verdict.faults
        assert it.takeover_s
        assert max(it.takeover_s) <= TAKEOVER_S


@pytest.mark.matrix
async def test_another_takes_over_again_and_again(run):
    async with run("aggregator killed") as it:
        await kill_and_restart(it, 10)
        verdict = await it.finish()
        assert not verdict.faults
        assert max(it.takeover_s) <= TAKEOVER_S
