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


def test_driver_and_runtime_of_a_gpu_are_not_added_up(span_with):
    span, found = span_with(
        ("gpu_used", pb.GpuUsed(launches=10, runtime=True)),
        ("gpu_used", pb.GpuUsed(launches=12, copied_bytes=5)),
        ("gpu_used", pb.GpuUsed(launches=10, runtime=True)),
    )
    assert span.attributes["agentsight.gpu.launches"] == 20
    assert span.attributes["agentsight.gpu.copied_bytes"] == 5
    assert found.total("agentsight.gpu.use", **{"agentsight.kind": "launches"}) == 20


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
