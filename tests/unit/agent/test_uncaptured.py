"""Processes whose TLS is not seen are never passed over: metric, event, and how they are found."""

import os
import socket
from pathlib import Path

from agentsight_agent.tls.reasons import Reason
from agentsight_agent.tls.unread import UnreadProcess, is_connected
from agentsight_agent.uncaptured import UncapturedCollector, late_event, unread_event
from prometheus_client import CollectorRegistry

JAVA = UnreadProcess(7, "libjvm.so", "/jdk/libjvm.so", Reason.JAVA)


def test_every_reason_has_words() -> None:
    assert all(reason.text for reason in Reason)


def test_the_metric_counts_processes_by_reason() -> None:
    other = UnreadProcess(8, "libjvm.so", "/jdk/libjvm.so", Reason.JAVA)
    refused = UnreadProcess(8, "libssl.so.3", "/x/libssl.so.3", Reason.REFUSED, "no room")
    registry = CollectorRegistry()
    registry.register(UncapturedCollector(lambda: [JAVA, other, refused]))

    def value(reason: str) -> float | None:
        return registry.get_sample_value("agentsight_uncaptured_processes", {"reason": reason})

    assert (value("java"), value("refused"), value("rustls")) == (2, 1, None)


def test_the_events_name_session_process_and_reason() -> None:
    event = unread_event(JAVA, 5, 1000, 10)
    assert (event.session, event.pid, event.boot_ns, event.wall_ns) == (5, 7, 1000, 1010)
    assert (event.lost.stage, event.lost.reason, event.lost.unit) == ("tls", "java", "processes")
    assert event.lost.place.startswith("process 7, libjvm.so: Java")
    assert late_event(7, 5, 1000, 10).lost.reason == "hooked_late"


def test_what_the_kernel_said_is_kept() -> None:
    refused = UnreadProcess(8, "libssl.so.3", "/x/libssl.so.3", Reason.REFUSED, "no room")
    assert str(refused) == "process 8, libssl.so.3: the kernel refused the probes: no room"


def test_connections_are_told_by_their_remote_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert is_connected(os.getpid())
            assert is_connected(os.getpid(), port)
    assert not is_connected(os.getpid(), port)


def test_a_process_that_is_gone_is_not_connected(tmp_path: Path) -> None:
    assert not is_connected(1, 443, str(tmp_path))
