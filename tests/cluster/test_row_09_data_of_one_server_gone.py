import shutil

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_a_server_without_its_data_gets_it_from_the_others(run):
    async with run("nats: data of one server removed") as it:
        victim = it.random.choice(it.cluster.nats)
        it.happens()
        await victim.kill()
        await it.cluster.flows()
        shutil.rmtree(victim.store)
        await victim.start()
        await it.cluster.healthy()
        await it.cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults


async def test_a_block_with_flipped_bits_on_one_server(run):
    async with run("nats: bits flipped on one server") as it:
        victim = it.random.choice(it.cluster.nats)
        it.happens()
        await victim.kill()
        for block in sorted(victim.store.rglob("EVENTS/msgs/*.blk")):
            data = bytearray(block.read_bytes())
            for _ in range(20):
                data[it.random.randrange(len(data))] ^= 0xFF
            block.write_bytes(data)
        await victim.start()
        await it.cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
