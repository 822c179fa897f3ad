"""One drained batch: who gets what, in which order, and what is told of losses."""

from __future__ import annotations

from pathlib import Path

import pytest
from agentsight_agent.bpf.counters import ClassCounters, KernelCounters
from agentsight_agent.bpf.records import (
    ConnectionOpened,
    Drained,
    Item,
    ProcessNetworked,
    ProcessRecord,
    Segment,
    TlsRun,
)
from agentsight_agent.connections import Connections
from agentsight_agent.enrich.boot import Node
from agentsight_agent.frames import FrameWriter, Identity, Rank
from agentsight_agent.pipeline import Pipeline, ProcessListener
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.sessions.rules import SessionRule
from agentsight_agent.sessions.tracker import SessionTracker
from agentsight_agent.stdio import StdioStreams
from agentsight_core.ids import session_id
from agentsight_core.parsers.http1 import HttpSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.wire import decode_frame, encode_events

NODE = Node(name="node-1", cluster="test", boot_id="boot", agent_id="agent")
IDENTITY = Identity(agent_id="agent", epoch_ns=1, node="node-1", cluster="test")
PID = 4_000_000
OFFSET_NS = 1_700_000_000 * 10**9
ASK = b"POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\ncontent-length: 2\r\n\r\n{}"


class Quiet:
    """A kernel side that does what it is told, and a sink that keeps frames."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, list[pb.Event]]] = []

    def track(self, pid: int, session: int) -> None: ...

    def untrack(self, pid: int) -> None: ...

    def mute(self, connection: int) -> None: ...

    def unmute(self, connection: int) -> None: ...

    def want(self, connection: int) -> None: ...

    def put(self, header: pb.FrameHeader, frame: bytes, rank: int) -> None:
        self.frames.append((rank, list(decode_frame(frame)[1])))

    async def drain(self) -> None: ...

    async def close(self) -> None: ...


class World:
    """A pipeline over a /proc in which PID waits to execute the program of a session."""

    def __init__(self, proc: Path) -> None:
        self.quiet = Quiet()
        self.ledger = Ledger()
        self.heard: list[tuple[str, int]] = []
        tracker = SessionTracker(self.quiet, NODE, (), wall_offset_ns=OFFSET_NS, proc=str(proc))
        redactor = Redactor(CaptureMode.REDACTED, b"key")
        connections = Connections(tracker, redactor, self.quiet, self.ledger, HttpSettings())
        self.frames = FrameWriter(IDENTITY, self.quiet, self.ledger.stage("events", "events"))
        listener = ProcessListener(
            on_exec=lambda pid, _: self.heard.append(("exec", pid)),
            on_networked=lambda pid: self.heard.append(("networked", pid)),
            on_exit=lambda pid: self.heard.append(("exit", pid)),
        )
        streams = StdioStreams(tracker, redactor, self.quiet, self.ledger)
        self.pipeline = Pipeline(
            tracker, connections, streams, redactor, self.frames, listener, self.ledger
        )
        tracker.begin_at_exec(PID, 1, SessionRule(name="test"))
        self.session = session_id("test", "boot", PID, 1)

    def take(self, *items: Item) -> list[pb.Event]:
        """Take one batch and return the events that it led to, as they were framed."""
        self.pipeline.take(Drained(list(items), len(items), 0, more=False), OFFSET_NS)
        return self.flush()

    def flush(self) -> list[pb.Event]:
        self.frames.flush()
        framed, self.quiet.frames = self.quiet.frames, []
        return [event for _, events in framed for event in events]

    def executed(self, *argv: str, at_ns: int = 10) -> ProcessRecord:
        event = pb.Event(boot_ns=at_ns, session=self.session, pid=PID, tid=PID)
        event.process_executed.CopyFrom(
            pb.ProcessExecuted(argv=argv, exe="/usr/bin/agent", start_boot_ns=1)
        )
        data = event.SerializeToString()
        return ProcessRecord("executed", self.session, PID, at_ns, 0, data)

    def exited(self, at_ns: int = 90) -> ProcessRecord:
        event = pb.Event(boot_ns=at_ns, session=self.session, pid=PID, tid=PID)
        event.process_exited.exit_code = 3
        return ProcessRecord("exited", self.session, PID, at_ns, 0, event.SerializeToString())

    def run(self, data: bytes, at_ns: int = 50) -> TlsRun:
        offsets, times = memoryview(bytearray(8)).cast("Q"), memoryview(bytearray(8)).cast("Q")
        times[0] = at_ns
        return TlsRun(1, self.session, PID, PID, 0, True, data, offsets, times, 0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def kinds(events: list[pb.Event]) -> list[str]:
    return [str(event.WhichOneof("body")) for event in events]


def test_connections_end_before_their_process_and_the_session_after_it(world: World) -> None:
    events = world.take(world.executed("agent"), world.run(ASK), world.exited())
    assert kinds(events) == [
        "session_started",
        "process_executed",
        "http_request_started",
        "http_body",
        "http_finished",
        "process_exited",
        "session_ended",
    ]
    assert events[4].http_finished.outcome == pb.HTTP_OUTCOME_ABORTED
    assert events[-1].session_ended.exit_code == 3
    assert {event.session for event in events} == {world.session}
    assert world.heard == [("exec", PID), ("exit", PID)]
    assert events[2].wall_ns == 50 + OFFSET_NS


def test_who_looks_at_programs_is_told_that_one_uses_the_network(world: World) -> None:
    assert world.take(ProcessNetworked(PID)) == []
    assert world.heard == [("networked", PID)]


def test_credentials_in_arguments_do_not_get_into_frames(world: World) -> None:
    secret = "made" + "up" * 12
    events = world.take(world.executed("agent", "--api-key", secret))
    assert kinds(events) == ["session_started", "process_executed"]
    assert secret.encode() not in encode_events(events)
    assert events[1].process_executed.argv[:2] == ["agent", "--api-key"]
    assert "<redacted:" in events[1].process_executed.argv[2]


def test_the_peer_that_comes_later_in_the_batch_is_in_the_head(world: World) -> None:
    opened = ConnectionOpened(1, world.session, PID, 60, "192.0.2.7", 443)
    events = world.take(world.executed("agent"), world.run(ASK), opened)
    request = next(e for e in events if e.HasField("http_request_started")).http_request_started
    assert (request.peer_address, request.peer_port) == ("192.0.2.7", 443)


def test_effects_keep_their_bytes_and_their_rank(world: World) -> None:
    events = [pb.Event(session=5, pid=9, file_opened=pb.FileOpened(path=f"/{n}")) for n in (1, 2)]
    segment = Segment(5, 2, encode_events(events))
    world.pipeline.take(Drained([segment], 2, 0, more=False), OFFSET_NS)
    world.frames.flush()
    assert world.quiet.frames == [(Rank.EFFECTS, events)]
    assert world.ledger.stage("drain", "records").unexplained == 0


def test_a_loss_is_told_once(world: World) -> None:
    world.ledger.stage("tls", "bytes").drop("ring_full", 10)
    # The spool tells of its own losses.
    world.ledger.stage("spool", "frames").drop("full", 2)
    world.pipeline.tell_losses(100, OFFSET_NS)
    (event,) = world.flush()
    assert (event.session, event.wall_ns) == (0, 100 + OFFSET_NS)
    lost = event.lost
    assert (lost.stage, lost.reason, lost.count, lost.unit) == ("tls", "ring_full", 10, "bytes")
    world.pipeline.tell_losses(200, OFFSET_NS)
    assert world.flush() == []
    world.ledger.stage("tls", "bytes").drop("ring_full", 5)
    world.pipeline.tell_losses(300, OFFSET_NS)
    assert [e.lost.count for e in world.flush()] == [5]


def test_the_kernels_counters_close_the_ledger(world: World) -> None:
    tls = ClassCounters(submitted=7, ring_full=2, ring_full_bytes=90)
    file = ClassCounters(submitted=3, read_faults=1, map_full=4)
    for _ in range(2):
        world.pipeline.count_kernel(KernelCounters(tls=tls, file=file, missed_runs=5))
    stage = world.ledger.stage("kernel", "records")
    assert (stage.received, stage.emitted, stage.unexplained) == (22, 10, 0)
    assert stage.dropped == {
        "missed_run": 5,
        "tls: ring_full": 2,
        "file: read_fault": 1,
        "file: map_full": 4,
    }
    assert world.ledger.stage("tls", "bytes").dropped == {"ring_full": 90}


def test_a_stop_ends_everything_that_is_open(world: World) -> None:
    world.take(world.executed("agent"), world.run(ASK))
    world.ledger.stage("tls", "bytes").drop("ring_full", 1)
    world.pipeline.stop(500, OFFSET_NS)
    events = world.flush()
    assert sorted(kinds(events)) == ["http_body", "http_finished", "lost", "session_ended"]
    (finished,) = [e.http_finished for e in events if e.HasField("http_finished")]
    assert finished.outcome == pb.HTTP_OUTCOME_UNFINISHED
    assert all(stage.held == 0 for stage in world.ledger.stages)
