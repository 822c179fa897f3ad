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
        # It takes its share again: partitions may still be moving back when the next one dies.
        await cluster.ready(victim)


# Its bar is an absolute time: no gate for `make test` on a machine that may be busy.
@pytest.mark.matrix
@pytest.mark.timeout(1500)
async def test_another_takes_over_fifty_times(run):
    # A long run: fewer units, as the oracle goes through all of them.
    async with run("aggregator killed", rate=16) as it:
        await kill_and_restart(it, 50)
        verdict = await it.finish()
        it.note(takeover_p99_s=round(sorted(it.takeover_s)[int(len(it.takeover_s) * 0.99)], 2))
        assert not verdict.faults
        assert max(it.takeover_s) <= TAKEOVER_S
