"""Events of ETW, as tracerpt and Get-WinEvent show them."""

from __future__ import annotations

import errno

import pytest
from agentsight_agent.backends.etw.command_line import split_command_line
from agentsight_agent.backends.etw.events import unix_ns
from agentsight_agent.backends.etw.reader import EtwReader, looks_like_etw
from agentsight_agent.bpf.records import Item
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing import etw_output as etw

SECOND = 1_000_000_000
WALL_S = 1_767_261_600
TIME = "2026-01-01T10:00:00.000000100Z"
PID, CHILD = 4101, 4102
# An event of Get-WinEvent, by ToXml().
BY_WIN_EVENT = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='Microsoft-Windows-Kernel-Process' "
    "Guid='{22FB2CD6-0E7B-422B-A0C7-2FAD1FD0E716}'/>"
    "<EventID>1</EventID><Version>3</Version><Opcode>1</Opcode>"
    "<TimeCreated SystemTime='2026-01-01T10:00:00.0000001Z'/>"
    "<Execution ProcessID='4' ThreadID='8'/>"
    "</System><EventData><Data Name='ProcessID'>4101</Data>"
    "<Data Name='ParentProcessID'>900</Data>"
    "<Data Name='ImageName'>\\Device\\HarddiskVolume3\\npm\\claude.exe</Data>"
    "</EventData></Event>\r\n"
)


def read(text: str | bytes, reader: EtwReader | None = None) -> list[Item]:
    reader = reader or EtwReader()
    return reader.feed(text.encode() if isinstance(text, str) else text) + reader.close()


def events(*texts: str, reader: EtwReader | None = None) -> list[pb.Event]:
    items = read(etw.document(list(texts)), reader)
    return [pb.Event.FromString(item.event) for item in items]  # type: ignore[union-attr]


def file(ident: int, irp: int, **fields: object) -> str:
    return etw.event(etw.KERNEL_FILE, ident, TIME, PID, Irp=hex(irp), **fields)


def tcp(ident: int, provider: str = etw.KERNEL_NETWORK, **fields: object) -> str:
    ends = {"daddr": "10.0.0.1", "saddr": "10.0.0.2", "dport": 443, "sport": 50000}
    return etw.event(provider, ident, TIME, 4, **{"PID": PID, "size": 10, **ends, **fields})


def test_it_is_recognized() -> None:
    text = etw.document([BY_WIN_EVENT])
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert looks_like_etw(text.encode(encoding))
    assert looks_like_etw(BY_WIN_EVENT.encode())
    assert not looks_like_etw(b"<html>")


def test_a_process_by_get_winevent_with_the_manifest_provider() -> None:
    reader = EtwReader()
    [item] = read(BY_WIN_EVENT, reader)
    event = pb.Event.FromString(item.event)  # type: ignore[union-attr]
    done = event.process_executed
    assert (event.pid, done.parent_pid, done.comm) == (PID, 900, "claude.exe")
    assert event.wall_ns == WALL_S * SECOND + 100
    assert list(done.argv) == ["\\Device\\HarddiskVolume3\\npm\\claude.exe"]
    assert reader.is_root(event)


def test_a_process_of_which_two_providers_tell_is_one() -> None:
    classic = {"ProcessId": hex(PID), "ParentId": "0x384", "CommandLine": "claude -p x"}
    reader = EtwReader()
    found = events(
        etw.event(etw.CLASSIC_PROCESS, 1, TIME, PID, ImageFileName="claude.exe", **classic),
        BY_WIN_EVENT,
        etw.event(etw.KERNEL_PROCESS, 2, TIME, PID, ProcessID=PID, ExitCode=3),
        etw.event(etw.CLASSIC_PROCESS, 2, TIME, PID, ExitStatus=3, **classic),
        reader=reader,
    )
    assert [event.WhichOneof("body") for event in found] == ["process_executed", "process_exited"]
    assert list(found[0].process_executed.argv) == ["claude", "-p", "x"]
    assert found[1].process_exited.exit_code == 3
    assert reader.account.unused == {"process that is known": 1, "process that is not known": 1}


def test_processes_that_were_there_are_told_as_running() -> None:
    told = {"ProcessId": hex(PID), "ParentId": "0x1", "ImageFileName": "claude.exe"}
    [event] = events(etw.event(etw.CLASSIC_PROCESS, 3, TIME, PID, **told))
    assert event.process_executed.already_running


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (0, 0),
        (0x103, 0),
        (0xC0000022, errno.EACCES),
        (0xC000003A, errno.ENOENT),
        (0xC0FFEE00, errno.EIO),
    ],
)
def test_an_opening_has_the_result_of_its_end(status: int, error: int) -> None:
    [event] = events(
        file(12, 1, FileObject="0xA", CreateOptions="0x5000060", FileName="\\a"),
        file(24, 2, Status="0xC0000022"),
        file(24, 1, Status=hex(status)),
    )
    assert event.file_opened.path == "\\a"
    assert event.file_opened.flags == 0o3 | 0o100 | 0o1000
    assert event.file_opened.result == (-error if error else 1)


def test_what_goes_through_a_file_is_told_when_it_is_closed() -> None:
    opened, renamed, closed = events(
        file(12, 1, FileObject="0xA", CreateOptions="0x2000060", FileName="\\a"),
        file(24, 1, Status="0x0"),
        file(15, 2, FileObject="0xA", IOSize=100),
        file(16, 3, FileObject="0xA", IOSize=7),
        file(16, 4, FileObject="0xA", IOSize=8),
        file(27, 5, FileObject="0xA", FilePath="\\b"),
        file(24, 5, Status="0x0"),
        file(14, 6, FileObject="0xA"),
        file(16, 7, FileObject="0xA", IOSize=8),
    )
    assert (renamed.file_changed.path, renamed.file_changed.new_path) == ("\\a", "\\b")
    done = closed.file_closed
    assert done.fd == opened.file_opened.result
    assert (done.read_bytes, done.reads, done.written_bytes, done.writes) == (100, 1, 15, 2)


def test_directories_are_told_when_they_are_made() -> None:
    reader = EtwReader()
    [made] = events(
        file(12, 1, FileObject="0xA", CreateOptions="0x2000021", FileName="\\new"),
        file(24, 1, Status="0x0"),
        file(12, 2, FileObject="0xB", CreateOptions="0x1000021", FileName="\\old"),
        file(24, 2, Status="0x0"),
        reader=reader,
    )
    assert made.file_changed.operation == pb.FILE_OPERATION_DIRECTORY_MADE
    assert reader.account.unused == {"end of an operation without an event": 1}


def test_an_operation_without_an_end_is_lost() -> None:
    reader = EtwReader()
    assert events(file(26, 1, FilePath="\\a"), reader=reader) == []
    assert reader.account.lost == {"file operation without its end": 1}
    assert reader.account.read == 0


@pytest.mark.parametrize("provider", [etw.KERNEL_NETWORK, etw.CLASSIC_TCPIP])
def test_a_connection_has_sums(provider: str) -> None:
    made, closed = events(
        *(tcp(ident, provider) for ident in (12, 10, 10, 11, 14, 13)),
    )
    assert (made.pid, made.net_connected.peer_address) == (PID, "10.0.0.1")
    done = closed.net_closed
    assert done.socket == made.net_connected.socket
    assert (done.sent_bytes, done.received_bytes, done.retransmitted_bytes) == (20, 10, 10)


def test_addresses_may_be_numbers_and_of_ipv6() -> None:
    [four, six] = events(
        tcp(15, daddr=0x0100000A),
        tcp(28, daddr="2001:db8::1", saddr="2001:db8::2"),
    )
    assert (four.net_connected.peer_address, four.net_connected.accepted) == ("10.0.0.1", True)
    assert (six.net_connected.peer_address, six.net_connected.accepted) == ("2001:db8::1", False)


def test_what_etw_has_lost_is_declared() -> None:
    reader = EtwReader()
    lost = "{6a399ae0-4bc6-4de9-870b-3657f8947e7e}"
    header = etw.event(etw.HEADER, 0, TIME, 1, EventsLost=" 12", BuffersLost=2)
    events(header, header, etw.event(lost, 32, TIME, 1), reader=reader)
    assert reader.account.lost == {"events lost by ETW": 25, "buffers lost by ETW": 4}


def test_ticks_of_the_performance_counter_are_time_by_the_header() -> None:
    start = {"StartTime": 134_117_352_000_000_000, "PerfFreq": 10_000_000}
    told = {"ProcessId": "0x11", "ImageFileName": "a.exe"}
    raw = 5_000_000_000
    header = etw.event(etw.HEADER, 0, "", 1, raw_time=raw, **start)
    started = etw.event(etw.CLASSIC_PROCESS, 1, "", 17, raw_time=raw + 15_000_001, **told)
    [event] = events(header, started)
    assert (
        event.wall_ns == (134_117_352_000_000_000 - 116_444_736_000_000_000) * 100 + 1_500_000_100
    )
    reader = EtwReader()
    assert events(started, reader=reader) == []
    assert reader.account.lost == {"malformed": 1}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T10:00:00Z", WALL_S),
        ("2026-01-01T11:00:00.000+01:00", WALL_S),
        ("2026-01-01 04:30:00-0530", WALL_S),
        ("2024-02-29T00:00:00.000000000", 1_709_164_800),
        ("1600-01-01T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("yesterday", None),
    ],
)
def test_times(text: str, seconds: int | None) -> None:
    assert unix_ns(text) == (None if seconds is None else seconds * SECOND)


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("", []),
        ("  a  b\tc ", ["a", "b", "c"]),
        (r'"C:\Program Files\a.exe" -x', [r"C:\Program Files\a.exe", "-x"]),
        (r'a "b c" d"e f"g', ["a", "b c", "de fg"]),
        (r'a \"b\" "\\" c\d', ["a", '"b"', "\\", r"c\d"]),
        (r'a "b ""c"" d" \\"e f"', ["a", 'b "c" d', "\\e f"]),
        ('a ""', ["a", ""]),
    ],
)
def test_command_lines(line: str, argv: list[str]) -> None:
    assert split_command_line(line) == argv


def test_broken_events_cost_nothing_but_themselves() -> None:
    good = tcp(12)
    reader = EtwReader()
    broken = [
        "<Event >",
        "<Event ><System/></Event>",
        "</Event>",
        tcp(12, PID="x"),
        tcp(13, dport=1 << 16),
    ]
    text = "".join(f"{one}{good}" for one in broken)
    assert len(read(text, reader)) == len(broken)
    assert reader.account.lost == {"malformed": len(broken)}


def test_what_is_more_than_can_be_followed_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentsight_agent.backends.etw.files._MAX_WAITING", 2)
    monkeypatch.setattr("agentsight_agent.backends.etw.network._MAX_CONNECTIONS", 2)
    reader = EtwReader()
    opening = {"FileObject": "0xA", "CreateOptions": "0x5000060"}
    told = [file(12, irp, FileName=f"\\{irp}", **opening) for irp in range(3)]
    told += [tcp(12, sport=port) for port in range(5)]
    events(*told, file(24, 2, Status="0x0"), reader=reader)
    # Of the openings one had to go and one has no end.
    assert reader.account.lost == {
        "file operation without its end": 2,
        "connection, more than are followed": 3,
    }
    assert reader.account.read == len(told) + 1 - 5


def test_a_connection_that_is_made_again_is_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentsight_agent.backends.etw.network._MAX_CONNECTIONS", 2)
    reader = EtwReader()
    made = [tcp(12, sport=port) for port in (1, 2, 1, 3)]
    found = events(*made, tcp(10, sport=1, size=7), tcp(13, sport=1), reader=reader)
    assert found[-1].net_closed.sent_bytes == 7
    assert reader.account.lost == {"connection, more than are followed": 1}
