import pytest
from agentsight_core.bus.connection import Outgoing

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]

_HEAD = "$KV.checkpoints.p{:02d}.head"
_PIECE = "$KV.checkpoints.p{:02d}.0000"
_DELETED = {"KV-Operation": "DEL"}


@pytest.mark.parametrize("damage", ["deleted", "head", "piece", "fold"])
async def test_without_its_checkpoint_a_partition_is_folded_from_its_beginning(run, damage):
    async with run(f"checkpoints damaged: {damage}") as it:
        cluster = it.cluster
        for aggregator in cluster.aggregators:
            await aggregator.kill()
        it.happens()
        async with cluster.bus() as bus:
            for partition in range(cluster.settings.partitions):
                stream = "KV_checkpoints"
                subject = (_PIECE if damage == "piece" else _HEAD).format(partition)
                found = await bus.last(stream, subject)
                assert found is not None, "it was saved"
                if damage == "deleted":
                    await bus.publish(Outgoing(subject, b"", _DELETED))
                elif damage == "fold":
                    await bus.publish(Outgoing(subject, b"\x94\x01\x02\x03\xc4\x00"))
                else:
                    data = bytearray(found.data)
                    data[len(data) // 2] ^= 0xFF
                    await bus.publish(Outgoing(subject, bytes(data)))
        for aggregator in cluster.aggregators:
            await aggregator.start()
        await cluster.ready(*cluster.aggregators)
        await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
