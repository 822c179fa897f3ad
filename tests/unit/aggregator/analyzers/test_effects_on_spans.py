"""What processes do, as span events and attributes, and the counters of it."""

import errno
import signal

import pytest
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import AgentLog
from agentsight_core.testing.dns_messages import dns_answer

PID = 301


@pytest.fixture
def span_with(run):
    """Fold a session in which one process does what is given; return its span and the result."""

    def fold(*bodies):
        log = AgentLog()
        log.start(0)
        log.run(1, 9, PID, ["worker"])
        for position, (kind, body) in enumerate(bodies):
            log.add(2 + position / 10, PID, **{kind: body})
        log.end(20)
        found = run(log)
        (span,) = found.named("worker")
        return span, found

    return fold


def test_a_change_of_a_file_is_an_event_with_whole_paths(span_with):
    renamed = pb.FileChanged(
        operation="FILE_OPERATION_RENAMED",
        path="./old",
        directory="/work",
        new_path="new",
        new_directory="/work/sub",
    )
    refused = pb.FileChanged(
        operation="FILE_OPERATION_MODE_CHANGED", path="/etc/x", mode=0o600, result=-errno.EPERM
    )
    span, found = span_with(("file_changed", renamed), ("file_changed", refused))
    assert span.events == [
        (
            "file",
            {
                "file.path": "/work/old",
                "agentsight.file.operation": "renamed",
                "agentsight.file.new_path": "/work/sub/new",
            },
        ),
        (
            "file",
            {
                "file.path": "/etc/x",
                "agentsight.file.operation": "mode_changed",
                "agentsight.file.mode": "0o600",
                "error.type": "EPERM",
            },
        ),
    ]
    assert span.attributes["agentsight.file.changes"] == 1
    assert found.total("agentsight.file.changes", **{"agentsight.result": "error"}) == 1


def test_sums_of_a_file_that_stays_open_and_of_a_duplicate_are_added(span_with):
    span, _ = span_with(
        ("file_opened", pb.FileOpened(path="out", directory="/work", flags=0o101, result=3)),
        ("file_closed", pb.FileClosed(path="out", fd=3, written_bytes=5, still_open=True)),
        ("file_closed", pb.FileClosed(path="out", fd=1, written_bytes=7)),
        ("file_closed", pb.FileClosed(path="out", fd=3, written_bytes=1, mapped_for_writing=True)),
    )
    ((name, attributes),) = span.events
    assert (name, attributes["file.path"]) == ("file", "/work/out")
    assert attributes["agentsight.file.written_bytes"] == 13
    assert attributes["agentsight.file.mapped_for_writing"]
    assert "agentsight.file.open" not in attributes
    assert span.attributes["agentsight.file.written_bytes"] == 13


def test_a_file_that_was_open_already_has_its_path_and_sums_and_is_no_opening(span_with):
    span, found = span_with(
        ("file_opened", pb.FileOpened(directory="/work/log", flags=0o2001, result=1)),
        ("file_closed", pb.FileClosed(fd=1, written_bytes=12, writes=1)),
    )
    ((_, attributes),) = span.events
    assert attributes["file.path"] == "/work/log"
    assert attributes["agentsight.file.written_bytes"] == 12
    assert attributes["agentsight.file.found_open"]
    assert span.attributes["agentsight.files"] == found.summaries[-1].files == 0


def test_a_connection_tells_how_it_did_and_what_ended_it(span_with):
    quality = {"sent_segments": 100, "retransmitted_segments": 5, "round_trip_us": 40_000}
    span, found = span_with(
        ("net_connected", pb.NetConnected(socket=9, peer_address="::1", accepted=True)),
        ("net_sampled", pb.NetClosed(socket=9, sent_bytes=10, sent_segments=50)),
        ("net_closed", pb.NetClosed(socket=9, sent_bytes=30, error=errno.ECONNRESET, **quality)),
    )
    ((name, attributes),) = span.events
    assert name == "connection"
    assert attributes["agentsight.connection.accepted"]
    assert attributes["agentsight.connection.sent_bytes"] == 30
    assert attributes["agentsight.connection.round_trip_us"] == 40_000
    assert attributes["error.type"] == "ECONNRESET"
    assert span.attributes["agentsight.connection.retransmitted_segments"] == 5
    assert found.total("agentsight.connection.segments", **{"agentsight.kind": "again"}) == 5


def test_a_session_has_the_sums_of_its_connections_open_or_closed(span_with):
    def tcp(socket: int, **sums: int) -> pb.NetClosed:
        return pb.NetClosed(socket=socket, **sums)

    first = {"round_trip_us": 1000, "least_round_trip_us": 900}
    _, found = span_with(
        ("net_connected", pb.NetConnected(socket=1)),
        ("net_connected", pb.NetConnected(socket=2, error=errno.ECONNREFUSED)),
        ("net_sampled", tcp(1, sent_bytes=10, sent_segments=1, **first)),
        ("net_sampled", tcp(1, sent_bytes=30, sent_segments=3, lost_segments=1, **first)),
        ("net_connected", pb.NetConnected(socket=3)),
        ("net_closed", tcp(3, sent_bytes=5, received_bytes=7, sent_segments=1, round_trip_us=5000)),
        ("net_connected", pb.NetConnected(socket=4)),
        ("net_sampled", tcp(4, sent_bytes=2, sent_segments=2, retransmitted_segments=1)),
        ("net_closed", tcp(4, sent_bytes=3, sent_segments=2, retransmitted_segments=1)),
    )
    summary = found.summaries[-1]
    assert (summary.connections, summary.failed_connections) == (4, 1)
    assert (summary.sent_bytes, summary.received_bytes) == (38, 7)
    assert (summary.sent_segments, summary.retransmitted_segments) == (6, 1)
    assert summary.lost_segments == 1
    # Three segments at 1 ms, one at 5 ms; the last connection was not measured.
    assert summary.round_trip_us == 2000
    assert summary.least_round_trip_us == 900
    (session,) = found.named("session demo-agent")
    assert session.attributes["agentsight.connection.sent_bytes"] == 38
    assert session.attributes["agentsight.connection.round_trip_us"] == 2000


def test_signals_limits_and_kills_for_memory_are_events(span_with):
    sent = pb.SignalSent(sender_pid=0, target_pid=PID, signal=signal.SIGKILL)
    span, found = span_with(
        ("limit_hit", pb.LimitHit(call=257, error=errno.EMFILE, count=1)),
        ("limit_hit", pb.LimitHit(call=257, error=errno.EMFILE, count=2)),
        ("limit_hit", pb.LimitHit(call=257, error=errno.EMFILE, count=4)),
        ("oom_killed", pb.OomKilled()),
        ("signal_sent", sent),
    )
    assert [name for name, _ in span.events] == ["limit", "oom_kill", "signal"]
    assert span.events[0][1] == {
        "agentsight.limit.call": "openat",
        "agentsight.limit.count": 4,
        "error.type": "EMFILE",
    }
    assert span.events[2][1]["agentsight.signal.name"] == "SIGKILL"
    assert span.attributes["agentsight.process.oom_killed"]
    assert found.total("agentsight.limits_hit", **{"agentsight.kind": "EMFILE"}) == 4
    assert found.total("agentsight.oom_kills") == 1


def test_limits_of_the_recording_are_events_and_what_they_left_out_is_counted(span_with):
    began = pb.CaptureLimited(limit="files")
    ended = pb.CaptureLimited(limit="files", ended=True, over_rate=50, not_sampled=4)
    span, found = span_with(("capture_limited", began), ("capture_limited", ended))
    about = {"agentsight.capture.limit": "files"}
    assert span.events == [
        ("capture_limited", {**about, "agentsight.capture.state": "began"}),
        (
            "capture_limited",
            {
                **about,
                "agentsight.capture.state": "ended",
                "agentsight.capture.rate": 50,
                "agentsight.capture.sampled": 4,
            },
        ),
    ]
    assert found.total("agentsight.capture.left_out", **{"agentsight.kind": "rate"}) == 50


def test_driver_and_runtime_of_a_gpu_are_not_added_up(span_with):
    span, found = span_with(
        ("gpu_used", pb.GpuUsed(launches=10, runtime=True)),
        ("gpu_used", pb.GpuUsed(launches=12, copied_bytes=5)),
        ("gpu_used", pb.GpuUsed(launches=10, runtime=True)),
    )
    assert span.attributes["agentsight.gpu.launches"] == 20
    assert span.attributes["agentsight.gpu.copied_bytes"] == 5
    assert found.total("agentsight.gpu.use", **{"agentsight.kind": "launches"}) == 20


def test_shares_of_gpus_are_on_the_span_with_the_calls(span_with):
    def share(uuid: str, memory: int, percent: int | None, whole: int | None) -> pb.GpuShare:
        return pb.GpuShare(
            device_uuid=uuid,
            device_name=f"Model {uuid[-1]}",
            memory_bytes=memory,
            utilisation_percent=percent,
            device_utilisation_percent=whole,
        )

    second = 1_000_000_000
    both = [share("GPU-b", 3 << 30, 50, 90), share("GPU-a", 1 << 30, 0, None)]
    span, found = span_with(
        ("gpu_used", pb.GpuUsed(launches=12)),
        ("gpu_sampled", pb.GpuSampled(shares=[share("GPU-b", 1 << 30, None, 80)])),
        ("gpu_sampled", pb.GpuSampled(shares=both, interval_ns=2 * second)),
        ("gpu_sampled", pb.GpuSampled(shares=both[:1], interval_ns=2 * second)),
    )
    assert {
        key.removeprefix("agentsight.gpu."): value
        for key, value in span.attributes.items()
        if key.startswith("agentsight.gpu.")
    } == {
        "launches": 12,
        "device_uuids": ["GPU-a", "GPU-b"],
        "device_names": ["Model a", "Model b"],
        "peak_memory_bytes": 4 << 30,
        "mean_utilisation": 0.3333,
        "peak_utilisation": 0.5,
        "device_mean_utilisation": 0.8667,
    }
    busy = found.total("agentsight.gpu.use", **{"agentsight.kind": "busy_ns"})
    assert busy == 2 * second


def test_a_peer_has_the_name_that_it_was_the_last_answer_for(span_with):
    answers = [dns_answer(name, ["192.0.2.7"]) for name in ("old.test", "api.test")]
    span, _ = span_with(
        *(("dns_answered", pb.DnsAnswered(message=answer)) for answer in answers),
        ("net_connected", pb.NetConnected(socket=1, peer_address="192.0.2.7", peer_port=443)),
        ("net_connected", pb.NetConnected(socket=2, peer_address="192.0.2.8", peer_port=443)),
    )
    (_, named), (_, nameless) = span.events
    assert (named["server.address"], named["server.port"]) == ("api.test", 443)
    assert "server.address" not in nameless


def test_names_are_bounded_and_those_that_go_are_counted(span_with):
    many = [f"10.0.{i // 250}.{i % 250}" for i in range(4097)]
    events = [
        ("dns_answered", pb.DnsAnswered(message=dns_answer("many.test", many[at : at + 250])))
        for at in range(0, len(many), 250)
    ]
    first, last = (
        ("net_connected", pb.NetConnected(socket=i, peer_address=many[i])) for i in (0, -1 % 4097)
    )
    span, found = span_with(*events, first, last)
    assert [event.get("server.address") for _, event in span.events] == [None, "many.test"]
    assert found.total("agentsight.ignored", reason="old_name_of_peer") == 1


def test_datagrams_of_quic_are_told_with_its_version(span_with):
    udp = {"socket": 5, "transport": pb.TRANSPORT_UDP}
    span, _ = span_with(
        ("net_connected", pb.NetConnected(peer_address="::1", quic_version=0x6B3343CF, **udp)),
        ("net_closed", pb.NetClosed(sent_bytes=1200, sent_datagrams=1, several_peers=True, **udp)),
    )
    ((_, attributes),) = span.events
    assert attributes["network.transport"] == "udp"
    assert attributes["network.protocol.name"] == "quic"
    assert attributes["network.protocol.version"] == "2"
    assert attributes["agentsight.connection.sent_datagrams"] == 1
    assert attributes["agentsight.connection.several_peers"]
