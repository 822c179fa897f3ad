from dataclasses import replace
from functools import partial

import pytest
from agentsight_aggregator.worker.checkpoints import CheckpointStore
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Outgoing, connect
from agentsight_core.testing.cluster.cluster import patiently

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]

_HEAD = "$KV.checkpoints.p{:02d}.head"
_PIECE = "$KV.checkpoints.p{:02d}.0000"
_DELETED = {"KV-Operation": "DEL"}


async def damage_checkpoint(cluster, partition: int, damage: str) -> None:
    async with cluster.bus() as bus:
        subject = (_PIECE if damage == "piece" else _HEAD).format(partition)
        found = await bus.last("KV_checkpoints", subject)
        assert found is not None, "it was saved"
        if damage == "deleted":
            await bus.publish(Outgoing(subject, b"", _DELETED))
        elif damage == "fold":
            await bus.publish(Outgoing(subject, b"\x94\x01\x02\x03\xc4\x00"))
        else:
            data = bytearray(found.data)
            data[len(data) // 2] ^= 0xFF
            # As it would be on a disk that has changed it: under the old seal.
            async with connect(replace(cluster.connection(), group_keys=None)) as raw:
                await raw.publish(Outgoing(subject, bytes(data), _kept(found.headers)))


def _kept(headers) -> dict[str, str]:
    return {subjects.KEY: headers[subjects.KEY]}


async def test_without_its_checkpoint_a_partition_is_folded_from_its_beginning(run):
    async with run("checkpoints deleted, damaged, foreign") as it:
        cluster = it.cluster
        for damage in ("deleted", "head", "piece", "fold"):
            for aggregator in cluster.aggregators:
                await aggregator.kill()
            it.happens()
            for partition in range(cluster.settings.partitions):
                await damage_checkpoint(cluster, partition, damage)
            for aggregator in cluster.aggregators:
                await aggregator.start()
            await cluster.ready(*cluster.aggregators)
            await cluster.flows()
            await patiently(partial(saved_everywhere, cluster), 60)
        verdict = await it.finish()
        assert not verdict.faults


async def saved_everywhere(cluster) -> bool:
    """Tell whether each partition has a checkpoint that can be read."""
    async with cluster.bus() as bus:
        numbers = range(cluster.settings.partitions)
        return all([await CheckpointStore(bus, number).position() for number in numbers])
