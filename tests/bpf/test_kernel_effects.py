"""Files and TCP connections of tracked processes, seen by the real kernel."""

import os
import socket
import sys
import threading
from pathlib import Path

import pytest
from agentsight_agent.bpf.records import ProcessRecord, Segment

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"


@pytest.fixture
def filed(watch, tester, compiled, tmp_path):
    """Let the file tester run while files are watched; return what was seen and its pid."""

    def run(watching: bool = True, tracked: bool = True):
        seen_by = watch()
        filer = tester(compiled("filer"), tmp_path)
        if tracked:
            seen_by.track(filer.pid)
        seen_by.kernel.watch_files(watching)
        filer.say("go")
        assert filer.finish() == 0
        if tracked:
            seen_by.until_exit(filer.pid)
        return seen_by, filer

    return run


@pytest.mark.every_loader
def test_files_are_told_when_opened_and_summed_up_when_closed(filed) -> None:
    seen_by, filer = filed()
    events = [event for event in seen_by.drain().events() if event.pid == filer.pid]
    opened = [event.file_opened for event in events if event.HasField("file_opened")]
    assert [(one.path, one.flags & ~os.O_CLOEXEC, one.result >= 0) for one in opened] == [
        ("a", os.O_CREAT | os.O_RDWR, True),
        ("a", os.O_RDONLY, True),
        ("b", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, True),
        ("missing", os.O_RDONLY, False),
        ("c", os.O_CREAT | os.O_WRONLY, True),
    ]
    assert opened[3].result == -2
    closed = [event.file_closed for event in events if event.HasField("file_closed")]
    sums = [(one.path, one.reads, one.read_bytes, one.writes, one.written_bytes) for one in closed]
    assert sums == [
        ("a", 1, 10, 3, 3000),
        ("a", 1, 3000, 0, 0),
        ("b", 0, 0, 1, 3000),
        ("c", 0, 0, 1, 5),
    ]
    for event in events:
        if event.HasField("file_closed"):
            assert 0 < event.file_closed.opened_boot_ns < event.boot_ns


def test_files_left_open_are_told_before_the_end_of_the_process(filed) -> None:
    seen_by, filer = filed()
    last = [event for event in seen_by.drain().events() if event.pid == filer.pid][-2:]
    assert last[0].file_closed.path == "c"
    assert last[1].HasField("process_exited")


def test_events_of_one_session_come_as_one_segment(filed) -> None:
    seen_by, _ = filed()
    shape = [type(item) for item in seen_by.drain().items]
    assert shape == [Segment, ProcessRecord]
    counters = seen_by.kernel.counters()
    assert counters.file.submitted == seen_by.seen.items[0].count == 10
    assert counters.lost_records == seen_by.seen.lost_records == 0


@pytest.mark.parametrize(("watching", "tracked"), [(False, True), (True, False)])
def test_no_files_without_watching_or_session(filed, watching, tracked) -> None:
    seen_by, _ = filed(watching, tracked)
    seen_by.drain()
    assert seen_by.kernel.counters().file.submitted == 0


def test_long_paths_and_paths_that_are_no_text(watch, tester, tmp_path) -> None:
    folder = tmp_path / ("d" * 200) / ("e" * 200)
    folder.mkdir(parents=True)
    seen_by = watch()
    script = 'echo ready; read line; : > "$1/long"; : > "$2/$(printf "\\377")"'
    shell = tester("/bin/sh", "-c", script, "sh", folder, tmp_path)
    seen_by.track(shell.pid)
    seen_by.kernel.watch_files(True)
    shell.say("go")
    assert shell.finish() == 0
    paths = [
        event.file_opened.path
        for event in seen_by.until_exit(shell.pid).events()
        if event.HasField("file_opened")
    ]
    assert paths == [f"{folder}/long", f"{tmp_path}/\ufffd"]


def serve_once(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        received = 0
        while received < 10_000:
            received += len(connection.recv(65536))
        connection.sendall(b"a" * 25_000)
        connection.recv(1)


@pytest.mark.every_loader
@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_tcp_connections_are_told_with_peer_result_and_bytes(watch, tester, family, host) -> None:
    with socket.create_server((host, 0), family=family) as unused:
        closed_port = unused.getsockname()[1]
    seen_by = watch()
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=serve_once, args=(server,))
        thread.start()
        talker = tester(
            sys.executable, TESTERS / "tcp_talker.py", host, str(port), str(closed_port)
        )
        seen_by.track(talker.pid)
        answer = talker.ask("go")
        thread.join()
    seen = seen_by.until(lambda seen: any(event.HasField("net_closed") for event in seen.events()))

    events = [event for event in seen.events() if event.pid == talker.pid]
    made, refused = [event.net_connected for event in events if event.HasField("net_connected")]
    (closed,) = [event.net_closed for event in events if event.HasField("net_closed")]
    assert (made.peer_address, made.peer_port, made.error) == (host, port, 0)
    assert (made.local_address, made.local_port) == (host, answer["own_port"])
    assert (refused.peer_port, refused.error) == (closed_port, answer["refused"])
    assert (closed.peer_address, closed.peer_port) == (host, port)
    assert (closed.sent_bytes, closed.received_bytes) == (10_000, 25_000)
    assert closed.socket == made.socket != refused.socket
    assert made.duration_ns > 0
    assert closed.duration_ns > 0


def test_a_connection_that_outlives_its_process_is_told(watch, tester) -> None:
    seen_by = watch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = "import socket,sys; print('ready', flush=True); sys.stdin.readline();"
        script += f"s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'left')"
        talker = tester(sys.executable, "-c", script)
        seen_by.track(talker.pid)
        talker.say("go")
        connection, _ = server.accept()
        assert talker.finish() == 0
        seen_by.until_exit(talker.pid)
        connection.close()
    seen = seen_by.until(lambda seen: any(event.HasField("net_closed") for event in seen.events()))
    # The peer may acknowledge the end before the process is gone, or after.
    (closed,) = [event for event in seen.events() if event.HasField("net_closed")]
    assert (closed.pid, closed.session) == (talker.pid, seen_by.session)
    assert closed.net_closed.sent_bytes == 4
