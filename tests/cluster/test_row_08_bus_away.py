import asyncio

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(900)]


@pytest.mark.parametrize("seconds", [20, 150])
async def test_the_spool_holds_what_comes_and_drains(run, seconds):
    # 150 s is longer than the time for which the server knows message ids.
    async with run(f"nats: all away for {seconds} s") as it:
        cluster = it.cluster
        it.happens()
        await asyncio.gather(*(member.kill() for member in cluster.nats))
        await asyncio.sleep(seconds)
        held = sum(
            path.stat().st_size
            for node in cluster.nodes
            for path in (node.folder / "spool").glob("*.seg")
        )
        await asyncio.gather(*(member.start() for member in cluster.nats))
        await cluster.healthy()
        await cluster.flows()
        verdict = await it.finish()
        it.note(spool_bytes=held)
        assert not verdict.faults
        assert held > 0
