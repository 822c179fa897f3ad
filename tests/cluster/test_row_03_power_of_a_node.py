import asyncio

import pytest
from agentsight_core.testing.cluster.disks import LazyDisk

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_a_power_failure_takes_what_was_not_synced(tmp_path):
    disk = LazyDisk(tmp_path / "disk", tmp_path / "aside")
    await disk.insert()
    try:
        synced = await asyncio.create_subprocess_exec(
            "dd", "if=/dev/zero", f"of={tmp_path}/disk/synced", "bs=5000", "count=3", "conv=fsync"
        )
        assert await synced.wait() == 0
        (tmp_path / "disk" / "written").write_bytes(b"x" * 5000)
        with (tmp_path / "disk" / "synced").open("ab") as file:
            file.write(b"more")
        assert (tmp_path / "disk" / "written").read_bytes() == b"x" * 5000
        await disk.lose_power()
        assert (tmp_path / "disk" / "written").read_bytes() == b""
        assert (tmp_path / "disk" / "synced").read_bytes() == b"\0" * 15_000
    finally:
        await disk.remove()


async def test_what_the_spool_called_durable_survives_the_power_failure_of_its_node(run):
    async with run("agent: power failure of the node", lazy_disks=("node",)) as it:
        cluster = it.cluster
        for _ in range(5):
            victim = it.random.choice(cluster.nodes)
            # Cut off: what is durable is in the spool and nowhere else.
            await cluster.network.cut(victim.host, [member.host for member in cluster.nats])
            await asyncio.sleep(it.random.uniform(0.5, 1.5))
            it.happens()
            await cluster.lose_power(victim)
            await cluster.network.heal(victim.host)
            await victim.start()
            await cluster.flows()
        verdict = await it.finish()
        lost_ms = 1000 * verdict.undurable / len(it.faults_s) / cluster.settings.rate
        it.note(not_yet_durable_ms=round(lost_ms))
        assert not verdict.faults
        # One round of the generator and one group commit, on a machine that may be busy.
        assert lost_ms <= 1000
