import asyncio

import pytest
from agentsight_core.testing.cluster.clocks import WrongClock

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(600)]

_HOUR = "+3600"
_HOUR_AGO = "-3600"


async def restart(cluster, *members) -> None:
    for member in members:
        await member.kill()
        await member.start()
    await cluster.ready(*(member for member in members if member in cluster.aggregators))


async def test_the_clock_of_a_node_jumps(run):
    # Certificates that are as old as the cluster would keep out who lives in the past: see below.
    async with run("clock of a node jumps: +1 h, -1 h, right, +1 h", secured=False) as it:
        victim = it.random.choice(it.cluster.nodes)
        clock = WrongClock(victim)
        others = [WrongClock(member) for member in it.cluster.aggregators]
        await restart(it.cluster, victim, *it.cluster.aggregators)
        await it.cluster.flows()
        for offset in (_HOUR, _HOUR_AGO, "+0", _HOUR):
            it.happens()
            clock.set(offset)
            await asyncio.sleep(3)
            await it.cluster.flows()
        # What a node that is ahead says last is written when the others get there: an hour later.
        for other in others:
            other.set(_HOUR)
        verdict = await it.finish()
        assert not verdict.faults


async def test_the_clocks_of_aggregators_jump_and_drift(run):
    async with run("clocks of aggregators: +1 h, -1 h, 500 ppm, jumps") as it:
        cluster = it.cluster
        clocks = [WrongClock(member) for member in cluster.aggregators]
        await restart(cluster, *cluster.aggregators)
        await cluster.flows()
        for offsets in ((_HOUR, _HOUR_AGO, "+0 x1.0005"), (_HOUR_AGO, "+0", _HOUR)):
            it.happens()
            for clock, offset in zip(clocks, offsets, strict=True):
                clock.set(offset)
            await asyncio.sleep(3)
            await cluster.flows()
        # Whoever takes over has another idea of the time.
        victim = it.random.choice(cluster.aggregators)
        it.happens()
        await victim.kill()
        await it.taken_over()
        for clock in clocks:
            clock.set("+0")
        await victim.start()
        await cluster.ready(victim)
        await cluster.flows()
        verdict = await it.finish()
        assert not verdict.faults


async def test_a_node_for_which_the_certificates_are_not_valid_yet(run):
    async with run("clock of a node an hour behind: certificates not valid yet") as it:
        cluster = it.cluster
        victim = it.random.choice(cluster.nodes)
        clock = WrongClock(victim)
        clock.set(_HOUR_AGO)
        it.happens()
        await restart(cluster, victim)
        await asyncio.sleep(6)
        held = list((victim.folder / "spool").glob("*.seg"))
        assert "not yet valid" in victim.output()
        clock.set("+0")
        await cluster.flows()
        verdict = await it.finish()
        assert held
        assert not verdict.faults
