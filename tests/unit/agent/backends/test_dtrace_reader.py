"""The output of the D script, record by record."""

from __future__ import annotations

import errno

import pytest
from agentsight_agent.backends.dtrace.reader import DtraceReader, looks_like_dtrace
from agentsight_agent.bpf.records import (
    ConnectionOpened,
    Item,
    ProcessEffect,
    ProcessRecord,
    TlsRun,
)
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.dtrace_output import DtraceOutput

SECOND = 1_000_000_000
WALL_NS = 1_767_261_600 * SECOND
PID, CHILD = 4101, 4102
IPV6 = (
    bytes([28, 30, 1, 187])
    + bytes(4)
    + bytes.fromhex("20010db8000000000000000000000001")
    + bytes(4)
)


def output() -> DtraceOutput:
    return DtraceOutput(PID, WALL_NS)


def read(text: str | bytes, reader: DtraceReader | None = None) -> list[Item]:
    reader = reader or DtraceReader()
    return reader.feed(text.encode() if isinstance(text, str) else text) + reader.close()


def events(items: list[Item]) -> list[pb.Event]:
    assert all(isinstance(item, ProcessRecord | ProcessEffect) for item in items)
    return [pb.Event.FromString(item.event) for item in items]  # type: ignore[union-attr]


def test_it_is_recognized() -> None:
    text = output().text.encode()
    assert looks_like_dtrace(text)
    assert looks_like_dtrace(b"dtrace: script 'agentsight.d' matched 99 probes\n" + text)
    assert not looks_like_dtrace(b"CPU ID FUNCTION:NAME\n")


def test_times_are_those_of_the_script_and_unix_time_is_by_the_begin() -> None:
    out = output()
    out.execute(3 * SECOND, PID, 1, [b"a"])
    reader = DtraceReader()
    [event] = events(read(out.text, reader))
    assert event.boot_ns == 3 * SECOND
    assert event.wall_ns == WALL_NS + 2 * SECOND
    assert reader.wall_offset_ns == WALL_NS - SECOND
    assert reader.is_root(event)


def test_buffers_of_several_cpus_are_put_in_order() -> None:
    out = output()
    for at in (5, 7, 6, 4):
        out.record("fork", at * SECOND // 4, PID, PID, CHILD + at)
    assert [event.boot_ns * 4 // SECOND for event in events(read(out.text))] == [4, 5, 6, 7]


def test_a_process_ends_by_itself_or_by_the_last_signal_sent_to_it() -> None:
    out = output()
    out.record("fork", 2 * SECOND, PID, PID, CHILD)
    out.record("signal", 3 * SECOND, PID, PID, CHILD, 15)
    out.record("signal", 4 * SECOND, PID, PID, CHILD, 9)
    out.record("exit", 5 * SECOND, CHILD, CHILD, 2, 0)
    out.record("exit", 6 * SECOND, PID, PID, 1, 259)
    out.record("exit", 7 * SECOND, 50, 50, 3, 0)
    ended = [
        event.process_exited for event in events(read(out.text)) if event.HasField("process_exited")
    ]
    assert (ended[0].exit_signal, ended[0].duration_ns) == (9, 3 * SECOND)
    assert ended[1].exit_code == 3
    assert ended[2].status_unknown


def test_arguments_that_were_cut_say_so() -> None:
    out = output()
    out.execute(2 * SECOND, PID, 1, [b"a", b"b" * 5000, b"c"])
    [event] = events(read(out.text))
    assert event.process_executed.argv_truncated
    assert len(event.process_executed.argv[1]) == 4094


def test_paths_begin_where_the_process_is_or_at_the_directory_it_names() -> None:
    out = output()
    out.record("change", 2 * SECOND, PID, PID, b"chdir", -2, 0, 0, 0, b"/work")
    out.record("change", 3 * SECOND, PID, PID, b"chdir", -2, 0, 0, 0, b"src")
    out.record("fork", 4 * SECOND, PID, PID, CHILD)
    out.record("open", 5 * SECOND, CHILD, CHILD, -2, 0x100000, 8, 0, b"/etc")
    out.record("open", 6 * SECOND, CHILD, CHILD, 8, 0x20A, -1, 13, b"hosts")
    out.record("change", 7 * SECOND, CHILD, CHILD, b"unlinkat", -2, 0x80, 0, 0, b"old")
    out.record("name", 8 * SECOND, CHILD, CHILD, b"renameat", -2, 8, 0, 0, b"a", b"b")
    _, inside, _, _, opened, removed, renamed = events(read(out.text))
    assert inside.file_changed.directory == "/work/src"
    assert (opened.file_opened.directory, opened.file_opened.result) == ("/etc", -errno.EACCES)
    assert opened.file_opened.flags == 0o2 | 0o2000 | 0o100
    assert removed.file_changed.operation == pb.FILE_OPERATION_DIRECTORY_REMOVED
    assert removed.file_changed.directory == "/work/src"
    assert (renamed.file_changed.directory, renamed.file_changed.new_directory) == (
        "/work/src",
        "/etc",
    )


@pytest.mark.parametrize(
    ("number", "error"), [(0, 0), (36, 0), (61, errno.ECONNREFUSED), (999, errno.EIO)]
)
def test_connections_and_how_they_went(number: int, error: int) -> None:
    out = output()
    out.record("connect", 2 * SECOND, PID, PID, 5, number, dump=IPV6)
    [event] = events(read(out.text))
    made = event.net_connected
    assert (made.peer_address, made.peer_port, made.error) == ("2001:db8::1", 443, error)


def test_plaintext_is_told_with_its_peer() -> None:
    out = output()
    out.record("connect", 2 * SECOND, PID, PID, 5, 36, dump=IPV6)
    out.record("tlsfd", 3 * SECOND, PID, PID, 99, 5)
    out.call(4 * SECOND, PID, 99, bytes(range(256)), written=True)
    _, opened, run = read(out.text)
    assert isinstance(opened, ConnectionOpened)
    assert isinstance(run, TlsRun)
    assert (opened.peer_address, opened.connection) == ("2001:db8::1", run.connection)
    assert (run.written, run.data, list(run.times_ns)) == (True, bytes(range(256)), [4 * SECOND])


def test_a_remark_in_the_middle_of_a_line_costs_nothing() -> None:
    """What dtrace writes to stderr falls anywhere into what it has buffered for stdout."""
    out = output()
    out.record("open", 2 * SECOND, PID, PID, -2, 0, 3, 0, b"/etc/hosts")
    at = len(out.text) - 9
    text = (
        out.text[:at]
        + "dtrace: 12 dynamic variable drops with non-empty dirty list\n"
        + out.text[at:]
    )
    reader = DtraceReader()
    [event] = events(read(text, reader))
    assert event.file_opened.path == "/etc/hosts"
    assert reader.account.lost == {"dynamic variable drops": 12}


def test_a_path_cannot_pretend_to_be_a_record_or_a_remark() -> None:
    out = output()
    path = b'x"\n@exit 1 1 1 1 0\ndtrace: 5 drops on CPU 0'
    out.record("open", 2 * SECOND, PID, PID, -2, 0, 3, 0, path)
    reader = DtraceReader()
    [event] = events(read(out.text, reader))
    assert event.file_opened.path == path.decode()
    assert not reader.account.lost


def test_texts_end_at_their_nul_whether_the_rest_of_their_buffer_is_shown_or_not() -> None:
    path = b"a\\0b\x01"
    for padded in (True, False):
        out = DtraceOutput(PID, WALL_NS, padded=padded)
        out.record("open", 2 * SECOND, PID, PID, -2, 0, 3, 0, path)
        assert (r"\0\0" in out.text) == padded
        [event] = events(read(out.text))
        assert event.file_opened.path == path.decode()


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ("@open 9 1 1 -2 0 3\n", "malformed"),
        ('@open 9 1 1 -2 0 3 0 "a" 4\n', "malformed"),
        ('@open 9 1 1 -2 0 3 "a" 0\n', "malformed"),
        ("@exit 9 4294967296 1 1 0\n", "malformed"),
        ("@fork 9 1 1 -5\n", "malformed"),
        ("@tls 9 1 1 5 1 10 8 4\n\n     0: 61 61 61 61  aaaa\n", "malformed"),
        ("@tls 9 1 1 5 1 10 0 10\n\n     0: 61 61  aa\n@end 10 1 1\n", "malformed"),
        ("@error 9 1 1 7 1\n", "error in the script"),
        ("@exit 9 1", "malformed"),
    ],
)
def test_what_cannot_be_read_is_counted(line: str, lost: str) -> None:
    reader = DtraceReader()
    assert read(output().text + line, reader) == []
    assert reader.account.lost == {lost: 1}


def test_other_lines_are_not_of_the_script() -> None:
    reader = DtraceReader()
    assert read("dtrace: pid 4101 has exited\nhello\n@home\n" + output().text, reader) == []
    assert (reader.account.lost, reader.account.unused) == ({}, {"not of the script": 3})


def test_a_later_version_is_refused() -> None:
    reader = DtraceReader()
    text = output().text.replace(" 1 1767", " 2 1767") + "@exit 9 1 1 1 0\n"
    assert read(text, reader) == []
    assert reader.account.lost == {"of version 2": 1, "before the begin": 1}


def test_processes_beyond_those_that_can_be_followed_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentsight_agent.backends.dtrace.processes._MAX_PROCESSES", 2)
    out = output()
    for number in range(5):
        out.execute((3 + number) * SECOND, PID + number, 1, [b"a"])
    reader = DtraceReader()
    assert len(read(out.text, reader)) == 5
    assert reader.account.lost == {"process, more than are followed": 3}
