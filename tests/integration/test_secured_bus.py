"""The bus with TLS, users and sealed content, as `agentsight certs` lays it out."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.deadletters import Replay, list_letters, replay_letter
from agentsight_aggregator.settings import aggregator_settings
from agentsight_aggregator.worker.aggregator import Aggregator
from agentsight_cli import running
from agentsight_cli.certs.authority import Authority
from agentsight_cli.certs.working_set import Wanted, make_set, rotate_keys
from agentsight_core import ids, wire
from agentsight_core.bus import subjects
from agentsight_core.bus.access import connection_settings
from agentsight_core.bus.connection import Bus, ConnectionSettings, Outgoing, connect
from agentsight_core.bus.export_positions import ExportPosition
from agentsight_core.bus.failures import NotAllowed, translated
from agentsight_core.bus.findings import PartitionExport
from agentsight_core.bus.generations import GenerationLog, Report
from agentsight_core.bus.provisioning import BusSettings, provision
from agentsight_core.bus.publisher import Publisher
from agentsight_core.bus.server import NatsServer, ServerSettings
from agentsight_core.bus.sinks import Sink
from agentsight_core.config import AgentSightConfig, load_config
from agentsight_core.errors import Retryable
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Edge, Finding, SessionSummary
from agentsight_core.runtime.tls import TlsFiles, expiry_times
from agentsight_core.sealing import Sealer
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.conditions import eventually

pytestmark = pytest.mark.server

CANARY = "canary-9e1f-of-the-secured-bus"
ONE = BusSettings(partitions=1)


class EchoFold:
    """Repeats every path as a finding and keeps all of them in its state."""

    def __init__(self) -> None:
        self._paths: list[str] = []

    def observe(self, event: pb.Event) -> Iterable[Finding]:
        if not event.HasField("file_opened"):
            return
        if "poison" in event.file_opened.path:
            raise RuntimeError(f"cannot take {event.file_opened.path}")
        self._paths.append(event.file_opened.path)
        yield Finding(
            id=ids.digest(event.session, len(self._paths), size=16),
            session=event.session,
            edge=Edge(method=event.file_opened.path),
        )

    def advance(self, now_ns: int) -> Iterable[Finding]:
        return ()

    def snapshot(self) -> bytes:
        return "\n".join(self._paths).encode()

    def restore(self, state: bytes) -> None:
        self._paths = state.decode().split("\n")


class Cluster:
    """A set in a folder and a server that uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.set = folder / "set"
        make_set(self.set, Wanted(nodes=("n1", "n2")))
        settings = ServerSettings(folder / "bus", security_file=self.set / "nats-users.conf")
        self.server = NatsServer(settings)

    def config(self, name: str, **flags: object) -> AgentSightConfig:
        servers = (self.server.url,)
        common = {"bus.embedded": False, "bus.servers": servers, "bus.partitions": 1}
        return load_config(self.set / f"{name}.yaml", {}, {**common, **flags})

    def connect(self, name: str, **changes: object) -> contextlib.AbstractAsyncContextManager[Bus]:
        node = name.removeprefix("node-") if name.startswith("node-") else ""
        role = {"operator": "cli", "reader": "cli"}.get(name, name)
        settings = connection_settings(self.config(name), role, node=node, connect_seconds=3)
        return connect(replace(settings, request_seconds=1.0, **changes))

    def frame(self, seq: int, text: str = CANARY, *, node: str = "n1", session: int = 7):
        header = pb.FrameHeader(
            agent_id="agent",
            epoch_ns=5,
            session=session,
            seq=seq,
            event_count=1,
            node=node,
            cluster="default",
        )
        event = pb.Event(
            wall_ns=seq, session=session, file_opened=pb.FileOpened(path=f"/{text}/{seq}")
        )
        sealer = Sealer(self.set / "frames.public")
        return header, wire.encode_frame(header, wire.encode_events([event]), sealer)

    @contextlib.asynccontextmanager
    async def aggregating(self, bus: Bus):
        settings = replace(
            aggregator_settings(self.config("aggregator")),
            first_wait_seconds=0.01,
            last_wait_seconds=0.1,
        )
        coordinator = LocalCoordinator(1)
        aggregator = Aggregator(bus, coordinator, lambda _: EchoFold(), Ledger(), settings)
        async with coordinator:
            task = asyncio.create_task(aggregator.run())
            try:
                await eventually(lambda: task.done() or len(aggregator.folds()) == 1)
                yield aggregator
            finally:
                aggregator.stop()
                await task


@pytest.fixture
async def cluster(tmp_path: Path):
    cluster = Cluster(tmp_path)
    async with cluster.server:
        yield cluster


async def publish(bus: Bus, header: pb.FrameHeader, frame: bytes) -> int:
    headers = {subjects.MESSAGE_ID: subjects.message_id(header)}
    return await bus.publish(Outgoing(subjects.event_subject(header), frame, headers))


async def paths_read(bus: Bus) -> list[str]:
    return [finding.edge.method async for finding in running.kept_findings(bus, running.ALL)]


def files_with(folder: Path, text: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]


async def test_each_role_can_do_its_work_and_nothing_readable_is_stored(
    cluster: Cluster, tmp_path: Path
) -> None:
    ledger = Ledger()
    exported: list[str] = []

    class Receiver:
        async def export(self, batch) -> None:
            exported.extend(finding.edge.method for finding in batch)

    async with (
        cluster.connect("aggregator") as bus,
        cluster.connect("node-n1") as agent,
        cluster.connect("reader") as reader,
        Spool(tmp_path / "spool", SpoolSettings(), ledger.stage("spool", "frames")) as spool,
    ):
        await provision(bus, ONE)
        for seq in range(1, 21):
            spool.put(*cluster.frame(seq), rank=1)
        # The headers are on the disk, and readable.
        await eventually(lambda: files_with(tmp_path / "spool", "default") != [])
        assert files_with(tmp_path / "spool", CANARY) == []
        publisher = Publisher(spool, agent, ledger.stage("publish", "frames"))
        publishing = asyncio.create_task(publisher.run())
        assert await publisher.drain(20)
        publishing.cancel()

        log = GenerationLog(agent)
        assert (await log.last()).number == 0
        await log.report(Report("agent", "n1", 0, 0, ok=True))

        sink = Sink("otlp", Receiver(), bus, ledger.stage("export", "findings"))
        runner = PartitionExport(sink, bus, 0)
        async with cluster.aggregating(bus) as aggregator:
            await aggregator.settle()
            exporting = asyncio.create_task(runner.run())
            expected = [f"/{CANARY}/{seq}" for seq in range(1, 21)]
            await eventually(lambda: exported == expected)
            exporting.cancel()
        assert await paths_read(reader) == expected
        # A successor goes on from the sealed checkpoint.
        async with cluster.aggregating(bus) as aggregator:
            await publish(agent, *cluster.frame(21))
            await aggregator.settle()
        assert len(await paths_read(reader)) == 21
    await cluster.server.stop()
    assert files_with(tmp_path / "bus", "FINDINGS")
    assert files_with(tmp_path / "bus", CANARY) == []
    assert files_with(tmp_path / "spool", CANARY) == []


async def test_without_sealing_the_search_for_the_canary_finds_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with cluster.connect("aggregator", group_keys=None) as bus:
        await provision(bus, ONE)
        header, _ = cluster.frame(1)
        event = pb.Event(session=7, file_opened=pb.FileOpened(path=CANARY))
        await publish(bus, header, wire.encode_frame(header, wire.encode_events([event])))
    await cluster.server.stop()
    assert files_with(tmp_path / "bus", CANARY)


async def test_a_publish_for_another_node_is_refused_and_says_so(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster.connect("aggregator") as bus, cluster.connect("node-n1") as agent:
        await provision(bus, ONE)
        header, frame = cluster.frame(1, node="n2")
        with pytest.raises(NotAllowed, match=r"ev\.default\.n2.* the server refuses it to this"):
            await publish(agent, header, frame)
        assert "refuses this credential (bus.nkey_file) the publish to ev.default.n2" in caplog.text
        assert (await bus.stream_state(subjects.EVENTS)).state.messages == 0
        # The connection is as good as before.
        assert await publish(agent, *cluster.frame(1)) == 1


async def test_a_stolen_credential_of_a_node_reads_nothing(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster.connect("aggregator") as bus, cluster.connect("node-n1") as thief:
        await provision(bus, ONE)
        async with cluster.aggregating(bus) as aggregator:
            await publish(thief, *cluster.frame(1))
            await aggregator.settle()
        for stream in (subjects.EVENTS, subjects.FINDINGS, f"KV_{subjects.CHECKPOINTS}"):
            with pytest.raises(Retryable):
                await thief.get(stream, 1)
            with pytest.raises(Retryable):
                await thief.stream_state(stream)
        heard = []

        async def hear(message) -> None:
            heard.append(message)

        listened = ("ev.>", "events.>", "findings.>", "_INBOX.>", "_INBOX_node_n2.>", ">")
        for subject in listened:
            await thief.client.subscribe(subject, cb=hear)
        await thief.client.flush()
        async with cluster.connect("node-n2") as other:
            await publish(other, *cluster.frame(1, node="n2", session=8))
        await bus.get(subjects.EVENTS, 1)
        await thief.client.flush()
        assert heard == []
        for subject in listened:
            assert f"the subscription to {subject.lower()}" in caplog.text


async def test_a_reader_cannot_write_nor_move_an_exporter(cluster: Cluster) -> None:
    async with cluster.connect("aggregator") as bus, cluster.connect("reader") as reader:
        await provision(bus, ONE)
        for subject in (
            "findings.0.x.span",
            "ev.default.n1.7",
            "$KV.config.generation",
            "dlq.0.x.1",
            subjects.export_subject("otlp", 0),
        ):
            with pytest.raises(NotAllowed):
                await reader.publish(Outgoing(subject, b"x"), timeout=0.3)
        with pytest.raises(Retryable), translated("deleting"):
            await reader.js.delete_stream(subjects.FINDINGS)
        position = ExportPosition(bus, "otlp", 0, "aggregator")
        await position.look()
        await position.claim()
    async with cluster.connect("operator") as operator:
        assert await operator.publish(Outgoing("$KV.config.generation", b"{}")) == 1


async def test_who_cannot_be_trusted_is_not_talked_to(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_set(other, Wanted(nodes=("n1",)))
    mine = cluster.set

    async def refusal(ca: Path, certificate: Path, nkey: Path) -> str:
        tls = TlsFiles(ca / "ca.pem", certificate / "node-n1.pem", certificate / "node-n1.key")
        settings = ConnectionSettings(
            (cluster.server.url,),
            "test",
            nkey_seed=(nkey / "node-n1.nkey").read_text(),
            tls=tls,
            connect_seconds=1,
        )
        with pytest.raises(Retryable) as caught:
            async with connect(settings):
                raise AssertionError("connected")
        return str(caught.value)

    assert "CERTIFICATE_VERIFY_FAILED" in await refusal(ca=other, certificate=mine, nkey=mine)
    # The server's words get lost when it closes in the middle of the handshake.
    hints = ("Authorization Violation", "not accept the certificate or the credential", "alert")
    for text in (
        await refusal(ca=mine, certificate=mine, nkey=other),
        await refusal(ca=mine, certificate=other, nkey=mine),
    ):
        assert any(hint in text for hint in hints), text
    plain = ConnectionSettings((cluster.server.url,), "test", connect_seconds=1)
    with pytest.raises(Retryable):
        async with connect(plain):
            raise AssertionError("connected")


async def test_a_server_that_speaks_no_tls_hears_nothing_from_us(
    cluster: Cluster, tmp_path: Path
) -> None:
    heard = bytearray()

    async def strip_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
        with contextlib.suppress(OSError):
            heard.extend(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(strip_tls, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        config = cluster.config("node-n1", **{"bus.servers": (f"nats://127.0.0.1:{port}",)})
        with pytest.raises(Retryable, match=r"or not begin with TLS|SSL"):
            async with connect(connection_settings(config, "agent", connect_seconds=1)):
                raise AssertionError("connected")
    assert heard
    assert b"CONNECT" not in heard


async def test_a_handshake_that_fails_does_not_keep_from_the_next_server(cluster: Cluster) -> None:
    """As of a server that waits two seconds for TLS to begin, to a client that is slower."""
    refused = 0

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        refused += 1
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
        await reader.read(4096)
        writer.close()

    async with await asyncio.start_server(speak_first, "127.0.0.1", 0) as server:
        slow = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = cluster.config("node-n1", **{"bus.servers": (slow, cluster.server.url)})
        # The servers are tried in any order.
        while refused < 3:
            async with asyncio.timeout(15), connect(connection_settings(config, "agent")) as bus:
                await bus.client.flush()


async def test_a_certificate_is_replaced_before_it_expires_and_nothing_is_lost(
    cluster: Cluster, tmp_path: Path
) -> None:
    seconds, day = 5.0, 1.0
    authority = Authority(cluster.set, "ca-bus")
    authority.issue(cluster.set, "node-n1", ("n1",), seconds / 86_400)
    old = tmp_path / "old"
    old.mkdir()
    for name in ("node-n1.pem", "node-n1.key", "ca.pem"):
        shutil.copy(cluster.set / name, old / name)
    (expires,) = expiry_times([old / "node-n1.pem"]).values()
    ledger = Ledger()
    async with (
        cluster.connect("aggregator") as bus,
        cluster.connect("node-n1") as agent,
        Spool(tmp_path / "spool", SpoolSettings(), ledger.stage("spool", "frames")) as spool,
    ):
        await provision(bus, ONE)
        publisher = Publisher(spool, agent, ledger.stage("publish", "frames"))
        publishing = asyncio.create_task(publisher.run())
        seq = 0
        renewed = False
        while time.time() < expires + 0.5:
            seq += 1
            spool.put(*cluster.frame(seq), rank=1)
            await asyncio.sleep(0.02)  # the load goes on at this rate over the whole change
            if not renewed and seq == 20:
                authority.issue(cluster.set, "node-n1", ("n1",), day)
                renewed = True
        # Every connection begins anew: only the new certificate can.
        await cluster.server.stop()
        await cluster.server.start()
        spool.put(*cluster.frame(seq + 1), rank=1)
        assert await publisher.drain(20)
        publishing.cancel()
        assert agent.client.stats["reconnects"] >= 2
        await eventually(lambda: bus.client.is_connected)
        stored = [
            wire.decode_header((await bus.get(subjects.EVENTS, number)).data).seq
            for number in range(1, seq + 2)
        ]
        assert stored == list(range(1, seq + 2))
        assert (await bus.stream_state(subjects.EVENTS)).state.messages == seq + 1

    tls = TlsFiles(old / "ca.pem", old / "node-n1.pem", old / "node-n1.key")
    settings = connection_settings(cluster.config("node-n1"), "agent", node="n1", connect_seconds=1)
    with pytest.raises(Retryable):
        async with connect(replace(settings, tls=tls)):
            raise AssertionError("connected")


async def test_after_a_rotation_of_keys_the_old_ones_still_open(cluster: Cluster) -> None:
    async with cluster.connect("aggregator") as bus, cluster.connect("node-n1") as agent:
        await provision(bus, ONE)
        async with cluster.aggregating(bus) as aggregator:
            await publish(agent, *cluster.frame(1))
            await aggregator.settle()
            old = cluster.frame(2)
            rotate_keys(cluster.set)
            await publish(agent, *old)
            await publish(agent, *cluster.frame(3))
            await aggregator.settle()
        keys = {
            (await bus.get(subjects.FINDINGS, number)).headers[subjects.KEY]
            for number in range(1, 4)
        }
        assert len(keys) == 2
    # Read from the beginning by one who begins now.
    async with cluster.connect("reader") as reader:
        assert await paths_read(reader) == [f"/{CANARY}/{seq}" for seq in (1, 2, 3)]


async def test_a_frame_for_an_unknown_key_waits_as_a_dead_letter_until_the_key_is_there(
    cluster: Cluster,
) -> None:
    private = cluster.set / "frames.private"
    known = private.read_text()
    rotate_keys(cluster.set)
    complete = private.read_text()
    unknown = cluster.frame(1)
    private.write_text(known)
    async with cluster.connect("aggregator") as bus, cluster.connect("node-n1") as agent:
        await provision(bus, ONE)
        async with cluster.aggregating(bus) as aggregator:
            await publish(agent, *unknown)
            await aggregator.settle()
            (filed,) = [filed async for filed in list_letters(bus)]
            assert filed.letter.stage == "open"
            key_id = pb.Frame.FromString(unknown[1]).key_id
            assert f"sealed for key {key_id}, which is not here" in filed.letter.error
            assert [path for path in await paths_read(bus) if path] == []

            private.write_text(complete)
            assert await replay_letter(bus, filed.number) is Replay.SENT
            await aggregator.settle()
        assert [path for path in await paths_read(bus) if path] == [f"/{CANARY}/1"]


async def test_a_finding_without_its_key_is_not_exported_but_kept(cluster: Cluster) -> None:
    group = cluster.set / "group.key"
    ledger = Ledger()

    class Receiver:
        async def export(self, batch) -> None:
            raise AssertionError("nothing can be exported")

    async with cluster.connect("aggregator") as bus, cluster.connect("node-n1") as agent:
        await provision(bus, ONE)
        async with cluster.aggregating(bus) as aggregator:
            await publish(agent, *cluster.frame(1))
            await aggregator.settle()
        before = group.read_text()
        rotate_keys(cluster.set)
        group.write_text(group.read_text().replace(before, ""))
        stage = ledger.stage("export", "findings")
        exporting = asyncio.create_task(
            PartitionExport(Sink("otlp", Receiver(), bus, stage), bus, 0).run()
        )
        await eventually(lambda: stage.dropped == {"dead_letter": 1})
        exporting.cancel()
        (filed,) = [filed async for filed in list_letters(bus)]
        assert "which is not here" in filed.letter.error
        assert filed.letter.key_id
        assert CANARY.encode() not in filed.letter.data
        # A successor without the key of the checkpoint waits for it, and folds nothing anew.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2), cluster.aggregating(bus):
                raise AssertionError("folds without its checkpoint")


async def test_a_checkpoint_that_was_changed_is_not_used_and_stops_nobody(
    cluster: Cluster,
) -> None:
    async with cluster.connect("aggregator") as bus, cluster.connect("node-n1") as agent:
        await provision(bus, ONE)
        async with cluster.aggregating(bus) as aggregator:
            await publish(agent, *cluster.frame(1))
            await aggregator.settle()
        head = await bus.last(f"KV_{subjects.CHECKPOINTS}", "$KV.checkpoints.p00.head")
        assert head is not None
        headers = {subjects.KEY: head.headers[subjects.KEY]}
        changed = head.data[:-1] + bytes([head.data[-1] ^ 1])
        async with cluster.connect("aggregator", group_keys=None) as other:
            await other.publish(Outgoing(head.subject, changed, headers))
        async with cluster.aggregating(bus) as aggregator:
            await publish(agent, *cluster.frame(2))
            await aggregator.settle()
        paths = [path for path in await paths_read(bus) if path]
        assert paths == [f"/{CANARY}/1", f"/{CANARY}/2"]


async def test_what_a_fold_says_about_content_is_not_stored(cluster: Cluster) -> None:
    async with cluster.connect("aggregator") as bus, cluster.connect("node-n1") as agent:
        await provision(bus, ONE)
        async with cluster.aggregating(bus) as aggregator:
            await publish(agent, *cluster.frame(1, "poison"))
            await aggregator.settle()
        (filed,) = [filed async for filed in list_letters(bus)]
        assert (filed.letter.stage, filed.letter.error) == ("fold", "RuntimeError")


async def test_the_copy_of_a_summary_that_the_server_makes_can_be_opened(cluster: Cluster) -> None:
    summary = Finding(id=b"i" * 16, session=7, session_summary=SessionSummary(agent_name=CANARY))
    written = Outgoing(subjects.finding_subject(0, summary), summary.SerializeToString())
    bucket = f"KV_{subjects.SESSIONS}"
    async with cluster.connect("aggregator") as bus, cluster.connect("reader") as reader:
        await provision(bus, ONE)
        await bus.publish(written)
        async with asyncio.timeout(20):
            while (copy := await reader.next(bucket, 1, "$KV.sessions.>")) is None:  # noqa: ASYNC110  # the server copies when it gets to it
                await asyncio.sleep(0.05)
        assert CANARY.encode() not in copy.data
        assert Finding.FromString(reader.content(copy)) == summary


async def test_a_connection_whose_server_is_gone_ends_without_an_error(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        async with cluster.server:
            bus = await stack.enter_async_context(cluster.connect("aggregator"))
        await eventually(lambda: not bus.client.is_connected)
        await bus.client.publish("findings.0.x.span", b"nobody takes it")
        assert bus.client.pending_data_size
    assert bus.client.is_closed
