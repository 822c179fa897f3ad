import asyncio
import contextlib

import pytest
from agentsight_core.testing.cluster.disks import filled, small_disk

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]


async def test_a_full_spool_declares_what_it_gives_up(run):
    # 8 MiB a node, and about 1 MiB a second of frames that do not compress.
    async with run("agent: spool full", spool_bytes=8 << 20, padding_bytes=20_000) as it:
        nats = [member.host for member in it.cluster.nats]
        victim = it.cluster.nodes[0]
        it.happens()
        await it.cluster.network.cut(victim.host, nats)
        await asyncio.sleep(25)
        await it.cluster.network.heal(victim.host)
        await it.cluster.flows()
        verdict = await it.finish()
        assert set(verdict.declared) == {"full"}
        assert not verdict.faults


async def test_the_disk_of_a_bus_server_is_full(run):
    async with (
        contextlib.AsyncExitStack() as disks,
        run("nats: disk of one server full", padding_bytes=2000) as it,
    ):
        victim = it.random.choice(it.cluster.nats)
        await victim.kill()
        await disks.enter_async_context(small_disk(victim.store, 96 << 20, keep=True))
        await victim.start()
        await it.cluster.healthy()
        it.happens()
        with filled(victim.store):
            await it.cluster.flows()
            await asyncio.sleep(10)
            await victim.kill()
        await victim.start()
        await it.cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults


async def test_etcd_has_no_space(run):
    async with run("etcd: no space", etcd_quota_bytes=2 << 20) as it:
        cluster = it.cluster
        it.happens()
        await fill_etcd(cluster)
        # Owners go on: to keep a lease alive needs no space.
        await cluster.flows()
        await asyncio.sleep(6)
        await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults


async def fill_etcd(cluster) -> None:
    """Write until etcd refuses with its alarm NOSPACE."""
    files = cluster.credentials.tls("operator")
    for number in range(100):
        process = await asyncio.create_subprocess_exec(
            "etcdctl",
            f"--endpoints={cluster.etcd[0].url}",
            f"--cacert={files.ca}",
            f"--cert={files.certificate}",
            f"--key={files.key}",
            "put",
            f"/fill/{number}",
            env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, error = await process.communicate(b"x" * 200_000)
        if b"space exceeded" in error:
            return
    raise AssertionError("etcd took everything")
