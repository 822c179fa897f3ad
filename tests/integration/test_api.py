"""The gRPC API with a real server and a real bus on loopback: what clients may rely on."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import stat
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from agentsight_aggregator.api import answering
from agentsight_aggregator.api.admission import credentials_of, kept_token
from agentsight_aggregator.api.server import ApiSettings, ServerTls, serving
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Outgoing, connect
from agentsight_core.bus.letters import DeadLetter, write_letter
from agentsight_core.bus.members import noted
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.bus.reading import follow
from agentsight_core.errors import ConfigError
from agentsight_core.ids import session_text
from agentsight_core.pb import api_pb2 as api
from agentsight_core.pb import api_pb2_grpc as stubs
from agentsight_core.pb import events_pb2 as events
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.sealing import GroupKeys, new_group_key
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.certificates import Authority
from agentsight_core.testing.numbered_frames import numbered_frame
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

pytestmark = pytest.mark.server

PARTITIONS = 2
TIMEOUT_S = 30


@dataclass(frozen=True)
class Api:
    bus: RunningBus
    channel: grpc.aio.Channel


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_bus(tmp_path / "bus", BusSettings(partitions=PARTITIONS)) as running:
        settings = ApiSettings(PARTITIONS, grace_seconds=0.5)
        async with (
            serving(running.bus, settings) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Api(running, channel)


def span(session: int, time_ns: int) -> pb.Finding:
    return pb.Finding(session=session, time_ns=time_ns, span=pb.Span(name=f"at {time_ns}"))


def summary(session: int, turns: int, *, agent: str = "demo", ended: bool = False) -> pb.Finding:
    body = pb.SessionSummary(
        agent_name=agent, node="n1", turns=turns, ended=ended, last_activity_ns=turns
    )
    return pb.Finding(session=session, time_ns=turns, session_summary=body)


async def write(running: RunningBus, *findings: pb.Finding) -> None:
    for finding in findings:
        subject = subjects.finding_subject(finding.session % PARTITIONS, finding)
        await running.bus.publish(Outgoing(subject, finding.SerializeToString()))


async def copied(running: RunningBus, count: int) -> None:
    """Wait until the server has copied so many summaries."""
    async with asyncio.timeout(TIMEOUT_S):
        async for batch in follow(running.bus, f"KV_{subjects.SESSIONS}", ">", 1):
            if batch.messages and batch.messages[-1].sequence == count:
                return


async def refusal(call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_sessions_are_listed_in_pages_each_with_its_newest_summary(served: Api) -> None:
    for turns in (1, 2):
        await write(served.bus, *(summary(session, turns) for session in range(1, 6)))
    await write(served.bus, summary(3, 3, agent="other", ended=True))
    await copied(served.bus, 11)
    sessions = stubs.SessionsStub(served.channel)
    found: list[tuple[int, int]] = []
    sizes, token = [], ""
    while token or not sizes:
        page = await sessions.ListSessions(api.ListSessionsRequest(page_size=2, page_token=token))
        found += [(item.session, item.session_summary.turns) for item in page.sessions]
        sizes.append(len(page.sessions))
        token = page.next_page_token
    assert found == [(1, 2), (2, 2), (4, 2), (5, 2), (3, 3)]
    assert sizes == [2, 2, 1]
    for request, expected in (
        (api.ListSessionsRequest(agent_name="other"), [3]),
        (api.ListSessionsRequest(only_running=True), [1, 2, 4, 5]),
        (api.ListSessionsRequest(active_since_ns=3), [3]),
        (api.ListSessionsRequest(node="n2"), []),
    ):
        page = await sessions.ListSessions(request)
        assert [item.session for item in page.sessions] == expected


async def test_a_session_is_found_by_the_first_digits_of_its_id(served: Api) -> None:
    await write(served.bus, summary(0xAB << 56, 1), summary(0xAC << 56, 1))
    await copied(served.bus, 2)
    sessions = stubs.SessionsStub(served.channel)
    for digits in ("ab", "AB00", session_text(0xAB << 56)):
        found = await sessions.GetSession(api.GetSessionRequest(session=digits))
        assert found.session == 0xAB << 56
    code, text = await refusal(sessions.GetSession(api.GetSessionRequest(session="a")))
    assert (code, "2 sessions begin with 'a'" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    for digits in ("ad", session_text(0xAD << 56)):
        code, _ = await refusal(sessions.GetSession(api.GetSessionRequest(session=digits)))
        assert code is grpc.StatusCode.NOT_FOUND
    code, text = await refusal(sessions.GetSession(api.GetSessionRequest(session="x.>")))
    assert (code, "hexadecimal" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_findings_are_filtered_by_session_kind_and_time(served: Api) -> None:
    await write(served.bus, *(span(1, n) for n in range(1, 6)), summary(1, 9), span(2, 1))
    findings = stubs.FindingsStub(served.channel)

    async def times(**wanted: object) -> list[int]:
        request = api.QueryFindingsRequest(filter=api.FindingsFilter(**wanted))
        return [item.time_ns for item in (await findings.QueryFindings(request)).findings]

    one = session_text(1)
    assert await times() == [1, 2, 3, 4, 5, 9, 1]
    assert await times(session=one, kinds=["span"]) == [1, 2, 3, 4, 5]
    assert await times(session=one, kinds=["span", "session_summary"], since_ns=5) == [5, 9]
    assert await times(since_ns=2, until_ns=4) == [2, 3]


async def test_wrong_arguments_are_refused_with_what_is_allowed(served: Api) -> None:
    findings = stubs.FindingsStub(served.channel)
    for request, allowed in (
        (api.QueryFindingsRequest(page_size=1001), "allowed: 0 to 1000"),
        (api.QueryFindingsRequest(page_token="x"), "next_page_token"),
        (api.QueryFindingsRequest(filter=api.FindingsFilter(kinds=["spam"])), "allowed: span"),
        (api.QueryFindingsRequest(filter=api.FindingsFilter(session="*")), "16 hexadecimal"),
        (
            api.QueryFindingsRequest(filter=api.FindingsFilter(since_ns=5, until_ns=5)),
            "after since_ns",
        ),
    ):
        code, text = await refusal(findings.QueryFindings(request))
        assert (code, allowed in text) == (grpc.StatusCode.INVALID_ARGUMENT, True), text
    stream = findings.StreamFindings(api.StreamFindingsRequest(lateness_ms=10_001))
    code, text = await refusal(stream.read())
    assert (code, "10000" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_a_page_stays_below_what_a_client_takes(served: Api) -> None:
    big = pb.Finding(session=1, message=pb.ConversationMessage(parts_json="x" * (1 << 20)))
    await write(served.bus, *[big] * 7)
    findings = stubs.FindingsStub(served.channel)
    sizes, token = [], ""
    while token or not sizes:
        page = await findings.QueryFindings(api.QueryFindingsRequest(page_token=token))
        sizes.append(len(page.findings))
        token = page.next_page_token
    assert sizes == [2, 2, 2, 1]


async def test_the_stream_is_in_the_order_of_time_across_partitions(served: Api) -> None:
    now_ns = time.time_ns()
    # Partition 0 is ahead of partition 1 in the log.
    await write(served.bus, *(span(2, now_ns + n) for n in (0, 20, 40)))
    await write(served.bus, *(span(1, now_ns + n) for n in (10, 30, 50)))
    findings = stubs.FindingsStub(served.channel)
    request = api.StreamFindingsRequest(from_beginning=True, lateness_ms=100)
    stream = findings.StreamFindings(request)
    seen: list[int] = []
    async with asyncio.timeout(TIMEOUT_S):
        while len(seen) < 6:
            answer = await stream.read()
            seen += [item.time_ns - now_ns for item in answer.findings]
        assert seen == [0, 10, 20, 30, 40, 50]
        await write(served.bus, span(2, now_ns - 10**12))
        late = await stream.read()
    stream.cancel()
    assert (late.order.received, late.order.late) == (7, 1)
    assert late.order.max_late_ns == 10**12 + 50


async def test_only_what_comes_is_streamed_and_a_slow_client_loses_nothing(served: Api) -> None:
    await write(served.bus, span(1, 1))
    findings = stubs.FindingsStub(served.channel)
    wanted = api.FindingsFilter(session=session_text(1), kinds=["span"])
    stream = findings.StreamFindings(api.StreamFindingsRequest(filter=wanted, lateness_ms=1))
    reading = asyncio.ensure_future(stream.read())
    await until_streaming(served.bus)
    await write(served.bus, span(2, 1), *(span(1, n) for n in range(2, 400)))
    seen = list((await reading).findings)
    async with asyncio.timeout(TIMEOUT_S):
        while len(seen) < 398:
            seen += (await stream.read()).findings
    stream.cancel()
    assert [item.time_ns for item in seen] == list(range(2, 400))


async def until_streaming(running: RunningBus, count: int = 1) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            state = await running.bus.stream_state(subjects.FINDINGS)
            if state.state.consumer_count == count:
                return
            await asyncio.sleep(0.01)


async def test_nothing_is_left_of_a_stream_whose_client_has_gone(served: Api) -> None:
    findings = stubs.FindingsStub(served.channel)
    stream = findings.StreamFindings(api.StreamFindingsRequest(), timeout=1.5)
    code, _ = await refusal(stream.read())
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    await until_streaming(served.bus, 0)


async def test_work_stops_at_the_deadline(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = stubs.SessionsStub(served.channel)
    ended = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr("agentsight_aggregator.api.pages.read_page", never)
    code, _ = await refusal(sessions.ListSessions(api.ListSessionsRequest(), timeout=0.3))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(TIMEOUT_S):
        await ended.wait()
    # A client without a deadline gets that of the server.
    monkeypatch.setattr(answering, "CALL_SECONDS", 0.2)
    code, text = await refusal(sessions.ListSessions(api.ListSessionsRequest()))
    assert (code, "server's limit" in text) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)


async def test_dead_letters_are_listed_shown_replayed_and_purged(served: Api) -> None:
    _, frame = numbered_frame(5, 1)
    for number, data in ((1, frame), (2, b"no frame"), (3, b"no frame")):
        stage = "decode" if number < 3 else "fold"
        letter = DeadLetter(stage, "bad", 1, 7, 0, "events.0.x", number, data)
        await write_letter(served.bus.bus, letter)
    letters = stubs.DeadLettersStub(served.channel)
    listed = await letters.ListLetters(api.ListLettersRequest(stage="decode", page_size=1))
    assert [letter.number for letter in listed.letters] == [1]
    assert (listed.letters[0].size_bytes, listed.letters[0].data) == (len(frame), b"")
    request = api.ListLettersRequest(stage="decode", page_token=listed.next_page_token)
    assert [letter.number for letter in (await letters.ListLetters(request)).letters] == [2]
    shown = await letters.GetLetter(api.GetLetterRequest(number=1))
    assert (shown.data, shown.error, shown.time_ns) == (frame, "bad", 7)
    await letters.ReplayLetter(api.ReplayLetterRequest(number=1))
    assert (await served.bus.bus.get(subjects.EVENTS, 1)).data == frame
    for repaired in (b"", b"no frame either"):
        request = api.ReplayLetterRequest(number=2, frame=repaired)
        code, text = await refusal(letters.ReplayLetter(request))
        assert (code, "no frame" in text) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    # Frames may be larger than what gRPC takes by default.
    header, _ = numbered_frame(6, 1)
    opened = events.FileOpened(path=secrets.token_urlsafe(9 << 19))
    event = events.Event(session=6, file_opened=opened)
    repaired = wire.encode_frame(header, wire.encode_events([event]))
    assert len(repaired) > 4 << 20
    await letters.ReplayLetter(api.ReplayLetterRequest(number=2, frame=repaired))
    assert (await served.bus.bus.get(subjects.EVENTS, 2)).data == repaired
    for number in (0, 1, 99):
        code, text = await refusal(letters.GetLetter(api.GetLetterRequest(number=number)))
        assert (code, text) == (grpc.StatusCode.NOT_FOUND, f"there is no dead letter {number}")
    assert (await letters.PurgeLetters(api.PurgeLettersRequest(stage="fold"))).purged == 1
    assert (await letters.PurgeLetters(api.PurgeLettersRequest())).purged == 0


async def test_status_and_ledger_come_from_the_notes_of_the_members(served: Api) -> None:
    stage = api.LedgerStage(stage="worker", unit="frames", received=3, emitted=2, dropped={"x": 1})

    def note(name: str, fence: int) -> api.MemberStatus:
        partitions = [api.PartitionStatus(partition=0, fence=fence, position=9)]
        return api.MemberStatus(kind="aggregator", name=name, partitions=partitions, ledger=[stage])

    cluster = stubs.ClusterStub(served.channel)
    bus = served.bus.bus
    async with noted(bus, lambda: note("a", 7), 0.5), noted(bus, lambda: note("b", 5), 0.5):
        status = await cluster.GetStatus(api.GetStatusRequest())
        async with asyncio.timeout(TIMEOUT_S):
            while len(status.members) < 2:
                status = await cluster.GetStatus(api.GetStatusRequest())
        ledger = await cluster.GetLedger(api.GetLedgerRequest())
    assert [(member.name, len(member.ledger)) for member in status.members] == [("a", 0), ("b", 0)]
    assert [(item.owner, item.fence) for item in status.partitions] == [("a", 7), ("", 0)]
    assert [stream.name for stream in status.streams] == ["EVENTS", "FINDINGS", "DLQ"]
    assert [list(member.stages) for member in ledger.members] == [[stage], [stage]]
    assert not (await cluster.GetStatus(api.GetStatusRequest())).members, "they have left"


async def test_reflection_names_every_service(served: Api) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)
    call = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )
    names = {
        service.name async for answer in call for service in answer.list_services_response.service
    }
    assert names >= {
        "agentsight.v1.Sessions",
        "agentsight.v1.Findings",
        "agentsight.v1.DeadLetters",
        "agentsight.v1.Cluster",
        "agentsight.v1.Configuration",
        "grpc.health.v1.Health",
    }


async def test_only_who_knows_the_token_gets_answers(tmp_path: Path) -> None:
    path = tmp_path / "state" / "api.token"
    token = kept_token(path)
    assert len(token) >= 32
    assert kept_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with (
        running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running,
        serving(running.bus, ApiSettings(1, token=token, grace_seconds=0)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        ask = stubs.ClusterStub(channel).GetLedger
        assert await ask(api.GetLedgerRequest(), metadata=credentials_of(token)) is not None
        for metadata in (None, credentials_of(token[:-1]), (("authorization", token),)):
            call = ask(api.GetLedgerRequest(), metadata=metadata)
            code, text = await refusal(call)
            assert (code, "token" in text) == (grpc.StatusCode.UNAUTHENTICATED, True)
        stream = stubs.FindingsStub(channel).StreamFindings(api.StreamFindingsRequest())
        code, _ = await refusal(stream.read())
        assert code is grpc.StatusCode.UNAUTHENTICATED
        await health(channel, health_pb2.HealthCheckResponse.SERVING)


async def test_configurations_are_applied_listed_and_rolled_back(served: Api) -> None:
    config = stubs.ConfigurationStub(served.channel)
    assert (await config.GetConfig(api.GetConfigRequest())).generation == 0
    for mode in ("none", "full"):
        text = f"capture: {{mode: {mode}}}"
        await config.ApplyConfig(api.ApplyConfigRequest(yaml=text, author="me", comment=mode))
    newest = await config.GetConfig(api.GetConfigRequest())
    assert (newest.generation, newest.author, newest.comment) == (2, "me", "full")
    assert newest.yaml == "capture:\n  mode: full\n"
    for text, problem in (
        ("capture: {mode: alles, modus: 1}", "capture.mode: 'alles' is wrong"),
        ("capture: {mode: alles, modus: 1}", "capture.modus: is no known key"),
        ("bus: {partitions: 8}", "restart needed: bus.partitions"),
    ):
        code, details = await refusal(config.ApplyConfig(api.ApplyConfigRequest(yaml=text)))
        assert (code, problem in details) == (grpc.StatusCode.INVALID_ARGUMENT, True), details
    request = api.ApplyConfigRequest(yaml="capture: {mode: none}", base=1)
    code, _ = await refusal(config.ApplyConfig(request))
    assert code is grpc.StatusCode.ABORTED
    await config.ApplyConfig(api.ApplyConfigRequest(yaml="capture: {mode: none}", dry_run=True))
    back = await config.RollbackConfig(api.RollbackConfigRequest(generation=1, author="me"))
    assert (back.generation, back.yaml) == (3, "capture:\n  mode: none\n")
    first = await config.ListGenerations(api.ListGenerationsRequest(page_size=2))
    request = api.ListGenerationsRequest(page_size=2, page_token=first.next_page_token)
    second = await config.ListGenerations(request)
    pages = [[item.generation for item in page.generations] for page in (first, second)]
    assert (pages, second.next_page_token) == ([[3, 2], [1]], "")
    code, _ = await refusal(config.GetConfig(api.GetConfigRequest(generation=9)))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_what_is_sealed_is_answered_by_who_has_the_key(tmp_path: Path) -> None:
    key_file = tmp_path / "group.key"
    key_file.write_text(f"{new_group_key()}\n")
    async with running_bus(tmp_path / "bus", BusSettings(partitions=PARTITIONS)) as running:
        settings = replace(running.connection("sealing"), group_keys=GroupKeys(key_file))
        async with connect(settings) as bus:
            await write(RunningBus(running.server, bus), summary(1, 1), span(1, 1))
            await copied(running, 1)
            for reader, can_read in ((bus, True), (running.bus, False)):
                async with (
                    serving(reader, ApiSettings(PARTITIONS, grace_seconds=0)) as port,
                    grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
                ):
                    session = stubs.SessionsStub(channel).GetSession(
                        api.GetSessionRequest(session=session_text(1))
                    )
                    findings = stubs.FindingsStub(channel).QueryFindings(api.QueryFindingsRequest())
                    if can_read:
                        assert (await session).session_summary.agent_name == "demo"
                        assert len((await findings).findings) == 2
                        continue
                    for call in (session, findings):
                        code, text = await refusal(call)
                        assert code is grpc.StatusCode.FAILED_PRECONDITION
                        assert "sealed for key" in text


async def test_more_calls_than_the_bound_are_told_to_wait(tmp_path: Path) -> None:
    async with (
        running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running,
        serving(running.bus, ApiSettings(1, max_calls=1, grace_seconds=0)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stream = stubs.FindingsStub(channel).StreamFindings(api.StreamFindingsRequest())
        await until_streaming(running)
        code, _ = await refusal(stubs.ClusterStub(channel).GetLedger(api.GetLedgerRequest()))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        stream.cancel()


async def health(channel: grpc.aio.Channel, wanted: int) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="agentsight.v1.Findings")
    async with asyncio.timeout(TIMEOUT_S):
        async for answer in stub.Watch(request):
            if answer.status == wanted:
                return


async def test_health_follows_the_bus_and_streams_end_with_the_server(tmp_path: Path) -> None:
    async with running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running:
        async with serving(running.bus, ApiSettings(1, grace_seconds=5)) as port:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            await health(channel, health_pb2.HealthCheckResponse.SERVING)
            os.kill(running.server.pid, signal.SIGKILL)
            await running.server.wait_ended()
            await health(channel, health_pb2.HealthCheckResponse.NOT_SERVING)
            sessions = stubs.SessionsStub(channel)
            code, _ = await refusal(sessions.ListSessions(api.ListSessionsRequest()))
            assert code is grpc.StatusCode.UNAVAILABLE
            await running.server.start()
            await health(channel, health_pb2.HealthCheckResponse.SERVING)
            stream = stubs.FindingsStub(channel).StreamFindings(api.StreamFindingsRequest())
            reading = asyncio.ensure_future(stream.read())
            await until_streaming(running)
        code, text = await refusal(reading)
        assert (code, "this server stops" in text) == (grpc.StatusCode.UNAVAILABLE, True)
        await channel.close()


async def test_clients_must_show_a_certificate_and_new_files_are_taken(tmp_path: Path) -> None:
    ours, foreign = tmp_path / "ours", tmp_path / "foreign"
    for folder in (ours, foreign):
        folder.mkdir()
    authority, stranger = Authority(ours), Authority(foreign)
    pair = authority.issue("server")
    tls = ServerTls(pair.certificate, pair.key, authority.certificate)

    async def ask(ca: Path, client: Authority | None) -> None:
        pair = client.issue("client") if client else None
        files = (ca, pair and pair.key, pair and pair.certificate)
        credentials = grpc.ssl_channel_credentials(*(file and file.read_bytes() for file in files))
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            await stubs.ClusterStub(channel).GetLedger(api.GetLedgerRequest(), timeout=5)

    async with (
        running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running,
        serving(running.bus, ApiSettings(1, tls=tls, grace_seconds=0)) as port,
    ):
        await ask(authority.certificate, authority)
        for client in (None, stranger):
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(authority.certificate, client)
        new = stranger.issue("server")
        pair.key.write_bytes(new.key.read_bytes())
        pair.certificate.write_bytes(new.certificate.read_bytes())
        await ask(stranger.certificate, authority)


async def test_a_port_in_use_and_missing_files_are_said(tmp_path: Path) -> None:
    async with running_bus(tmp_path / "bus", BusSettings(partitions=1)) as running:
        async with serving(running.bus, ApiSettings(1)) as port:
            with pytest.raises(ConfigError, match=r"choose another api\.host or api\.port"):
                async with serving(running.bus, ApiSettings(1, port=port)):
                    pass
        missing = ServerTls(tmp_path / "none.pem", tmp_path / "none.key")
        with pytest.raises(ConfigError, match=r"none\.pem: No such file"):
            async with serving(running.bus, ApiSettings(1, tls=missing)):
                pass
