"""A trace through the pipeline: sessions, strangers, and the account of it."""

from __future__ import annotations

from pathlib import Path

from agentsight_agent.backends.dtrace.reader import DtraceReader
from agentsight_agent.backends.etw.reader import EtwReader
from agentsight_agent.backends.traces.reader import TraceReader
from agentsight_agent.backends.traces.replaying import TraceReplay
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing import etw_output as etw
from agentsight_core.testing.dtrace_output import CALL_BYTES, DtraceOutput

SECOND = 1_000_000_000
ONE, TWO, CHILD, STRANGER = 11, 12, 13, 14
GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "traces"


def replay(reader: TraceReader, data: bytes) -> tuple[list[pb.Event], TraceReplay]:
    found = TraceReplay(reader, data[:1000], Redactor(CaptureMode.REDACTED, b"key"), "trace")
    events = list(found.events(iter([data])))
    for stage in found.ledger.stages:
        assert stage.unexplained == 0, stage
        assert stage.held == 0, stage
    return events, found


def process(opcode: int, second: int, pid: int, parent: int, image: str) -> str:
    told = {"ProcessId": hex(pid), "ParentId": hex(parent), "ImageFileName": image, "ExitStatus": 0}
    return etw.event(etw.CLASSIC_PROCESS, opcode, f"2026-01-01T10:00:{second:02d}Z", pid, **told)


def test_each_agent_of_a_trace_is_a_session_and_strangers_are_in_none() -> None:
    text = etw.document(
        [
            process(1, 1, ONE, 1, "claude.exe"),
            process(1, 2, TWO, 1, "codex.exe"),
            process(1, 3, CHILD, TWO, "git.exe"),
            process(1, 4, STRANGER, 1, "explorer.exe"),
            process(2, 5, ONE, 1, "claude.exe"),
            process(2, 6, TWO, 1, "codex.exe"),
        ]
    )
    events, found = replay(EtwReader(), text.encode())
    assert found.sessions == 2
    started = {
        e.session_started.agent_name: e.session for e in events if e.HasField("session_started")
    }
    assert set(started) == {"claude-code", "codex"}
    assert {event.session for event in events if event.pid == CHILD} == {started["codex"]}
    assert not [event for event in events if event.pid == STRANGER]
    ended = {
        e.session: e.session_ended.watcher_stopped for e in events if e.HasField("session_ended")
    }
    # A child of the second one lives on when the trace ends.
    assert ended == {started["claude-code"]: False, started["codex"]: True}


def test_what_strangers_do_is_filtered() -> None:
    out = DtraceOutput(ONE, 10**18)
    out.record("open", 2 * SECOND, STRANGER, 1, -2, 0, 3, 0, b"/etc/passwd")
    events, found = replay(DtraceReader(), out.text.encode())
    assert events == []
    assert found.ledger.stage("drain", "records").filtered == {"not in a session": 1}


def test_losses_become_events_with_their_count() -> None:
    out = DtraceOutput(ONE, 10**18)
    out.execute(2 * SECOND, ONE, 1, [b"agent"], running=True)
    out.call(3 * SECOND, ONE, 7, b"x" * (CALL_BYTES + 5), written=True)
    out.record("tlsfree", 4 * SECOND, ONE, 1, 7)
    text = out.text + "dtrace: 4 drops on CPU 0\n@open 0 x\n"
    events, _ = replay(DtraceReader(), text.encode())
    lost = {(e.lost.stage, e.lost.reason): e.lost.count for e in events if e.HasField("lost")}
    assert lost[("trace", "drops")] == 4
    assert lost[("trace", "malformed")] == 1
    assert lost[("tls", "not_in_trace")] == 5


def test_the_same_trace_gives_the_same_events() -> None:
    data = (GOLDEN / "session.dtrace").read_bytes()
    once, _ = replay(DtraceReader(), data)
    again, _ = replay(DtraceReader(), data)
    assert once == again
    assert [event.boot_ns for event in once] == sorted(event.boot_ns for event in once)


def test_credentials_do_not_come_through() -> None:
    data = (GOLDEN / "session.dtrace").read_bytes()
    # Pieces of it stand in the dump only.
    assert b"sk-ant-" in bytes.fromhex(
        "".join(
            line[11:59]
            for line in data.decode().split("\n")
            if line.startswith("     ") and line[10:11] == ":"
        )
    )
    events, _ = replay(DtraceReader(), data)
    assert not any(b"sk-ant-invented" in event.SerializeToString() for event in events)
