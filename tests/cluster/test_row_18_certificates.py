import asyncio
import time

import pytest
from agentsight_cli.certs.authority import Authority
from agentsight_core.runtime.tls import expiry_times

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]

_SOON_S = 15.0


async def test_certificates_and_keys_are_replaced_under_load(run):
    async with run("certificates renewed, sealing keys rotated") as it:
        cluster = it.cluster
        for _ in range(2):
            it.happens()
            before = expiry_times([cluster.credentials.tls("aggregator").certificate])
            await cluster.renew_certificates()
            assert expiry_times(before) != before
            await cluster.flows()
            it.happens()
            await cluster.credentials.rotate()
            await cluster.flows()
        # Whoever is new gets in with the new ones; so does who comes back.
        victim = it.random.choice(cluster.aggregators)
        await victim.kill()
        await it.taken_over()
        await victim.start()
        await cluster.ready(victim)
        verdict = await it.finish()
        keys = {message.key_id for message in it.evidence.findings}
        it.note(sealing_keys=len(keys))
        assert len(keys) == 3
        assert not verdict.faults


async def test_a_node_whose_certificate_has_expired_keeps_what_it_has(run):
    async with run("certificate of a node expired") as it:
        cluster = it.cluster
        folder = cluster.credentials.folder
        victim, other = cluster.nodes
        Authority(folder, "ca-bus").issue(
            folder, f"node-{victim.name}", (victim.name,), _SOON_S / 86_400
        )
        (expires_s,) = expiry_times([folder / f"node-{victim.name}.pem"]).values()
        await asyncio.sleep(expires_s + 1 - time.time())
        it.happens()
        # A server looks at certificates when a connection begins.
        await victim.kill()
        await victim.start()
        await asyncio.sleep(8)
        connected = set().union(*[await server.clients() for server in cluster.nats])
        assert victim.name not in connected
        assert other.name in connected
        assert list((victim.folder / "spool").glob("*.seg"))
        await cluster.renew_certificates()
        await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults
