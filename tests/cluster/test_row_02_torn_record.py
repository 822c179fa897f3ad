import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.mark.matrix
async def test_a_torn_end_of_the_spool_costs_only_itself(run):
    async with run("agent killed, end of the spool torn") as it:
        victim = it.cluster.nodes[0]
        for _ in range(3):
            # Without the bus everything stays in the spool.
            await it.cluster.network.cut(victim.host, [member.host for member in it.cluster.nats])
            await asyncio.sleep(2)
            it.happens()
            await victim.kill()
            segment = max(
                (victim.folder / "spool").glob("*.seg"), key=lambda path: path.stat().st_mtime
            )
            with segment.open("ab") as file:
                # The beginning of a record that was never finished, or was only allocated.
                file.write(it.random.randbytes(it.random.randrange(1, 200)))
            await it.cluster.network.heal(victim.host)
            await victim.start()
            await it.cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
