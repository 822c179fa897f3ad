import asyncio

import pytest
from agentsight_core.testing.cluster.member import Member
from agentsight_core.testing.cluster.recovery import longest_gap

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# How long a publisher may stay with a leader that is cut off from its peers.
_LEFT_AFTER_S = 3.0


async def attach_a_node(cluster, leader) -> Member:
    """Return a node that is connected to `leader`; it is started anew until it is."""
    while True:
        names = await leader.clients()
        for node in cluster.nodes:
            if node.name in names:
                return node
        await cluster.nodes[0].kill()
        await cluster.nodes[0].start()
        await cluster.flows()


# Its bar is an absolute time: no gate for `make test` on a machine that may be busy.
@pytest.mark.matrix
async def test_a_leader_that_is_cut_off_from_its_peers_is_left(run):
    async with run("nats: leader cut off from its peers") as it:
        cluster = it.cluster
        leader = await cluster.stream_leader()
        node = await attach_a_node(cluster, leader)
        peers = [member.host for member in cluster.nats if member is not leader]
        it.happens()
        cluster.avoided = [leader]
        await cluster.network.cut(leader.host, peers)
        await cluster.flows()
        assert node.name not in await leader.clients()
        await asyncio.sleep(5)
        await cluster.network.heal(leader.host)
        cluster.avoided = []
        await cluster.flows()
        verdict = await it.finish()
        left_s = first_departure(node, it.faults_s[0]) - it.faults_s[0]
        stored = [m.time_s for m in it.evidence.events if f".{node.name}." in m.subject]
        gap_s = longest_gap(stored, it.faults_s[0], it.faults_s[0] + 60)
        it.note(left_after_s=round(left_s, 2), gap_s=round(gap_s, 2))
        assert not verdict.faults
        assert left_s <= _LEFT_AFTER_S


def first_departure(node, after_s: float) -> float:
    """Return when the node first said after `after_s` that it leaves a server, Unix seconds."""
    lines = [line for line in node.output().splitlines() if "leaving a server" in line]
    return next(time_s for line in lines if (time_s := float(line.split()[0])) > after_s)


def hosts(members):
    return [member.host for member in members]


@pytest.mark.matrix
@pytest.mark.parametrize("deaf", [False, True], ids=["both ways", "one way"])
async def test_an_aggregator_is_cut_off_from_the_bus(run, deaf):
    async with run(f"aggregator cut off from the bus{', one way' if deaf else ''}") as it:
        victim = it.random.choice(it.cluster.aggregators)
        it.happens()
        await it.cluster.network.cut(victim.host, hosts(it.cluster.nats), deaf=deaf)
        await asyncio.sleep(12)
        await it.cluster.network.heal(victim.host)
        await it.cluster.flows()
        assert not (await it.finish()).faults


@pytest.mark.matrix
async def test_an_aggregator_is_cut_off_from_etcd(run):
    async with run("aggregator cut off from etcd") as it:
        victim = it.random.choice(it.cluster.aggregators)
        it.happens()
        await it.cluster.network.cut(victim.host, hosts(it.cluster.etcd))
        # It goes on until its lease ends; only then have the others anything to take over.
        await asyncio.sleep(it.cluster.settings.lease_seconds + 3)
        await it.taken_over()
        await it.cluster.network.heal(victim.host)
        await it.cluster.flows()
        assert not (await it.finish()).faults
        assert it.takeover_s


@pytest.mark.matrix
async def test_an_agent_is_cut_off_from_the_bus(run):
    async with run("agent cut off from the bus") as it:
        victim = it.random.choice(it.cluster.nodes)
        it.happens()
        await it.cluster.network.cut(victim.host, hosts(it.cluster.nats))
        await asyncio.sleep(12)
        await it.cluster.network.heal(victim.host)
        await it.cluster.flows()
        assert not (await it.finish()).faults


@pytest.mark.matrix
@pytest.mark.parametrize("kind", ["nats", "etcd"])
async def test_one_server_is_cut_off_from_everybody(run, kind):
    async with run(f"{kind}: one cut off from everybody") as it:
        cluster = it.cluster
        members = getattr(cluster, kind)
        victim = it.random.choice(members)
        others = [m.host for m in cluster.members if m is not victim]
        it.happens()
        cluster.avoided = [victim]
        await cluster.network.cut(victim.host, others)
        await cluster.flows()
        await asyncio.sleep(5)
        await cluster.network.heal(victim.host)
        cluster.avoided = []
        await cluster.healthy()
        assert not (await it.finish()).faults


@pytest.mark.matrix
async def test_packets_are_lost_between_the_servers(run):
    async with run("nats: 20 % of packets lost") as it:
        it.happens()
        for member in it.cluster.nats:
            await it.cluster.network.lose(member.host, 0.2)
        await asyncio.sleep(15)
        for member in it.cluster.nats:
            await it.cluster.network.heal(member.host)
        await it.cluster.flows()
        assert not (await it.finish()).faults
