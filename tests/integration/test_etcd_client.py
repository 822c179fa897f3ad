"""The etcd client against real servers: fail-over, mutual TLS, leases, watches, elections."""

import asyncio
import contextlib
import dataclasses
import time
from pathlib import Path

import pytest
from agentsight_core.errors import ConfigError, Permanent, Retryable
from agentsight_core.etcd import election, keys, leases
from agentsight_core.etcd.connection import Etcd, EtcdSettings, connect
from agentsight_core.etcd.failures import LeaseLost, NoLeader, NotFound
from agentsight_core.etcd.pb.mvcc_pb2 import Event
from agentsight_core.runtime.tls import TlsFiles
from agentsight_core.testing.certificates import Authority
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.etcd_cluster import running_etcd

pytestmark = pytest.mark.server


async def until(etcd: Etcd, prefix: bytes, count: int) -> None:
    """Return when `count` keys begin with `prefix`."""
    async with asyncio.timeout(10):
        while len(await read(etcd, prefix)) != count:  # noqa: ASYNC110  # it is in another process
            await asyncio.sleep(0.02)


async def read(etcd: Etcd, prefix: bytes) -> dict[bytes, bytes]:
    entries, _ = await keys.read_prefix(etcd, prefix)
    return {entry.key: entry.value for entry in entries}


async def test_keys_are_written_read_compared_and_deleted(tmp_path: Path) -> None:
    async with running_etcd(tmp_path, size=1) as cluster, connect(cluster.settings) as etcd:
        first = await keys.put(etcd, b"a/1", b"one")
        assert await keys.put(etcd, b"a/2", b"two") == first + 1
        await keys.put(etcd, b"b", b"other")
        entries, revision = await keys.read_prefix(etcd, b"a/")
        assert [(entry.key, entry.value) for entry in entries] == [
            (b"a/1", b"one"),
            (b"a/2", b"two"),
        ]
        assert revision == first + 2

        same = keys.same_key(b"a/1", first)
        assert await keys.put_all_if(etcd, [same], [(b"a/3", b"x"), (b"a/4", b"y")])
        assert await keys.delete_prefix(etcd, b"a/1") == 1
        assert not await keys.put_all_if(etcd, [same], [(b"a/5", b"z")])
        await keys.put(etcd, b"a/1", b"made again")
        assert not await keys.put_all_if(etcd, [same], [(b"a/5", b"z")])
        assert await read(etcd, b"a/") == {
            b"a/1": b"made again",
            b"a/2": b"two",
            b"a/3": b"x",
            b"a/4": b"y",
        }
        with pytest.raises(NotFound):
            await keys.put(etcd, b"a/6", b"", lease=12345)
        with pytest.raises(Permanent):
            await keys.put(etcd, b"", b"a key must not be empty")


async def test_mutual_tls(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    stranger = other.issue("stranger")
    async with running_etcd(tmp_path, tls=True) as cluster:
        right = cluster.settings
        assert right.tls is not None
        async with connect(right) as etcd:
            await keys.put(etcd, b"k", b"v")
            await cluster.kill(await cluster.leader())
            assert await read(etcd, b"k") == {b"k": b"v"}
        refused = [
            TlsFiles(right.tls.ca),
            TlsFiles(right.tls.ca, stranger.certificate, stranger.key),
            TlsFiles(other.certificate, right.tls.certificate, right.tls.key),
        ]
        for files in refused:
            settings = EtcdSettings(right.endpoints, files, request_seconds=1.0)
            async with connect(settings) as etcd:
                with pytest.raises(Retryable, match="UNAVAILABLE"):
                    await read(etcd, b"k")


async def test_replaced_certificates_are_used(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("stranger")
    async with running_etcd(tmp_path, size=1, tls=True) as cluster:
        right = cluster.settings.tls
        assert right is not None
        assert right.certificate is not None
        assert right.key is not None
        # What the files will hold, and what they hold at first.
        certificate, key = right.certificate.read_bytes(), right.key.read_bytes()
        right.certificate.write_bytes(stranger.certificate.read_bytes())
        right.key.write_bytes(stranger.key.read_bytes())
        async with connect(dataclasses.replace(cluster.settings, request_seconds=1.0)) as etcd:
            with pytest.raises(Retryable):
                await read(etcd, b"k")
            right.key.unlink()
            with pytest.raises(Retryable):
                await read(etcd, b"k")
            right.certificate.write_bytes(certificate)
            right.key.write_bytes(key)
            assert await read(etcd, b"k") == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (EtcdSettings(("etcd:2379",)), "must be http://HOST:PORT"),
        (EtcdSettings(("https://etcd:2379",)), "https needs the file of a CA"),
        (EtcdSettings(("https://etcd:2379",), TlsFiles(Path("/none"))), "/none: No such file"),
    ],
)
async def test_settings_that_cannot_be_used(settings: EtcdSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        async with connect(settings):
            pass


async def test_calls_go_on_while_a_majority_lives(tmp_path: Path) -> None:
    async with running_etcd(tmp_path) as cluster, connect(cluster.settings) as etcd:
        for number in range(2):
            victim = await cluster.leader()
            # The calls of this round begin at the member that dies.
            while etcd.endpoint != cluster.settings.endpoints[victim]:
                etcd.give_up(etcd.settings.endpoints.index(etcd.endpoint))
            await keys.put(etcd, b"before", b"%d" % number)
            await cluster.kill(victim)
            await keys.put(etcd, b"after", b"%d" % number)
            assert await read(etcd, b"before") == {b"before": b"%d" % number}
            await cluster.start(victim)
        await cluster.kill(0, 1)
        short = dataclasses.replace(cluster.settings, request_seconds=1.5)
        async with connect(short) as minority:
            started = time.monotonic()
            with pytest.raises(Retryable):
                await keys.put(minority, b"late", b"may be written yet")
            assert time.monotonic() - started < 3.0
        await cluster.start(0)
        assert await read(etcd, b"after") == {b"after": b"1"}


async def test_a_member_that_hangs_is_left(tmp_path: Path) -> None:
    async with running_etcd(tmp_path) as cluster, connect(cluster.settings) as etcd:
        _, revision = await keys.read_prefix(etcd, b"w/")
        watch = keys.watch_prefix(etcd, b"w/", revision + 1, idle_seconds=0.3)
        async with contextlib.aclosing(watch) as changes:
            await keys.put(etcd, b"w/1", b"x")
            assert [event.kv.key for event in await anext(changes)] == [b"w/1"]
            hanging = etcd.settings.endpoints.index(etcd.endpoint)
            cluster.pause(hanging)
            with pytest.raises(Retryable, match="no sign of life"):
                await anext(changes)
        assert etcd.endpoint != cluster.settings.endpoints[hanging]
        await keys.put(etcd, b"w/2", b"y")
        cluster.resume(hanging)


async def test_watch_tells_everything_in_order(tmp_path: Path) -> None:
    async with running_etcd(tmp_path, size=1) as cluster, connect(cluster.settings) as etcd:
        start = await keys.put(etcd, b"w/a", b"1")
        await keys.put(etcd, b"elsewhere", b"")
        await keys.delete_prefix(etcd, b"w/a")
        await keys.put_all_if(etcd, [], [(b"w/b", b"2"), (b"w/c", b"3")])
        watch = keys.watch_prefix(etcd, b"w/", start, idle_seconds=0.1)
        async with contextlib.aclosing(watch) as changes:
            seen = []
            while len(seen) < 4:
                seen += await anext(changes)
            # Quiet for longer than it takes to ask for progress, many times; then there is more.
            waiting = asyncio.ensure_future(anext(changes))
            done, _ = await asyncio.wait([waiting], timeout=0.7)
            assert not done
            await keys.put(etcd, b"w/d", b"4")
            seen += await waiting
    assert [(event.type, event.kv.key) for event in seen] == [
        (Event.PUT, b"w/a"),
        (Event.DELETE, b"w/a"),
        (Event.PUT, b"w/b"),
        (Event.PUT, b"w/c"),
        (Event.PUT, b"w/d"),
    ]


async def test_watch_of_what_is_no_longer_kept(tmp_path: Path) -> None:
    async with running_etcd(tmp_path, size=1) as cluster, connect(cluster.settings) as etcd:
        start = await keys.put(etcd, b"w/a", b"1")
        last = await keys.put(etcd, b"w/a", b"2")
        await cluster.compact(last)
        watch = keys.watch_prefix(etcd, b"w/", start)
        with pytest.raises(Retryable, match="compacted"):
            await anext(watch)


async def test_lease_lives_as_long_as_it_is_renewed(tmp_path: Path) -> None:
    async with running_etcd(tmp_path, size=1) as cluster, connect(cluster.settings) as etcd:
        kept, left = await leases.grant(etcd, 2), await leases.grant(etcd, 2)
        await keys.put(etcd, b"l/kept", b"", kept.id)
        await keys.put(etcd, b"l/left", b"", left.id)
        keeping = asyncio.create_task(leases.keep_alive(etcd, kept))
        await until(etcd, b"l/left", 0)
        # Ours ended first, in our own view.
        assert not left.holds
        assert kept.holds
        assert await read(etcd, b"l/") == {b"l/kept": b""}
        with pytest.raises(LeaseLost, match="not renewed in time"):
            await leases.renew(etcd, left)
        await leases.revoke(etcd, kept.id, 5.0)
        assert await read(etcd, b"l/") == {}
        with pytest.raises(LeaseLost, match="has ended"):
            await keeping
        await leases.revoke(etcd, kept.id, 5.0)


async def test_lease_is_lost_by_our_own_clock_before_the_server_could_end_it(
    tmp_path: Path,
) -> None:
    async with running_etcd(tmp_path, size=1) as cluster, connect(cluster.settings) as etcd:
        lease = await leases.grant(etcd, 2)
        await leases.renew(etcd, lease)
        keeping = asyncio.create_task(leases.keep_alive(etcd, lease))
        await eventually(lambda: lease.left_seconds > 1.5)
        cluster.pause(0)
        with pytest.raises(LeaseLost, match="not renewed in time"):
            await keeping
        now = leases.now_seconds()
        assert not lease.holds
        assert now < lease.ends_at
        assert now > lease.ends_at - lease.ttl_seconds / 2
        cluster.resume(0)


async def test_one_candidate_leads_and_the_next_follows(tmp_path: Path) -> None:
    async with running_etcd(tmp_path) as cluster, connect(cluster.settings) as etcd:
        old, new = await leases.grant(etcd, 30), await leases.grant(etcd, 30)
        assert await election.read_leader(etcd, b"chair") is None
        leader = await election.campaign(etcd, b"chair", old.id, b"old")
        # Standing again with the same lease changes nothing.
        assert await election.campaign(etcd, b"chair", old.id, b"old") == leader
        waiting = asyncio.create_task(election.campaign(etcd, b"chair", new.id, b"new"))
        observed: list[bytes] = []

        async def watch_chair() -> None:
            async with contextlib.aclosing(election.observe(etcd, b"chair")) as values:
                async for entry in values:
                    observed.append(entry.value)  # noqa: PERF401  # looked at while it grows

        watching = asyncio.create_task(watch_chair())
        await eventually(lambda: observed == [b"old"])
        await election.proclaim(etcd, leader, b"old and grey")
        await eventually(lambda: observed[-1] == b"old and grey")
        entry = await election.read_leader(etcd, b"chair")
        assert entry is not None
        assert entry.value == b"old and grey"
        assert not waiting.done()

        await leases.revoke(etcd, old.id, 5.0)
        second = await waiting
        await eventually(lambda: observed[-1] == b"new")
        assert second.rev > leader.rev
        first_leads = keys.same_key(leader.key, leader.rev)
        assert not await keys.put_all_if(etcd, [first_leads], [(b"x", b"")])
        second_leads = keys.same_key(second.key, second.rev)
        assert await keys.put_all_if(etcd, [second_leads], [(b"x", b"")])
        with pytest.raises(NoLeader):
            await election.proclaim(etcd, leader, b"still me")
        await election.resign(etcd, leader, 5.0)
        await election.resign(etcd, second, 5.0)
        assert await election.read_leader(etcd, b"chair") is None
        with pytest.raises(NotFound):
            await election.campaign(etcd, b"chair", old.id, b"without a lease")
        watching.cancel()


async def test_candidate_leaves_the_member_that_is_given_up(tmp_path: Path) -> None:
    async with running_etcd(tmp_path) as cluster, connect(cluster.settings) as etcd:
        old, new = await leases.grant(etcd, 30), await leases.grant(etcd, 30)
        await election.campaign(etcd, b"chair", old.id, b"old")
        waiting = asyncio.create_task(election.campaign(etcd, b"chair", new.id, b"new"))
        await until(etcd, b"chair/", 2)
        etcd.give_up(etcd.settings.endpoints.index(etcd.endpoint))
        with pytest.raises(Retryable, match="not elected"):
            await waiting
