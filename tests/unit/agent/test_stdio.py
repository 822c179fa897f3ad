"""Standard streams: which are wanted, what of them leaves, and where every byte went."""

from __future__ import annotations

import json

import pytest
from agentsight_agent.bpf.counters import ClassCounters
from agentsight_agent.bpf.records import ConnectionClosed, PayloadSource, TlsRun
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.stdio import StdioStreams
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger, Stage

PID, SESSION = 77, 7
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
FAKE_KEY = "sk-ant-" + "api03-" + "x" * 40


class World:
    """Streams of one process, and the switches of the kernel side."""

    def __init__(self, mode: CaptureMode, *, output: bool = False) -> None:
        self.muted: list[int] = []
        self.wanted: list[int] = []
        self.ledger = Ledger()
        redactor = Redactor(mode, b"key")
        self.streams = StdioStreams(self, redactor, self, self.ledger, output=output)

    def session_of(self, pid: int) -> int:
        return SESSION if pid == PID else 0

    def mute(self, connection: int) -> None:
        self.muted.append(connection)

    def want(self, connection: int) -> None:
        self.wanted.append(connection)

    @property
    def stage(self) -> Stage:
        return self.ledger.stage("stdio", "bytes")

    def say(
        self, data: bytes, *, written: bool = False, source: int = PayloadSource.STDIO
    ) -> list[pb.Event]:
        offsets, times = memoryview(bytearray(8)).cast("Q"), memoryview(bytearray(8)).cast("Q")
        times[0] = 50
        connection = 1 if source == PayloadSource.STDIO else 2
        run = TlsRun(
            connection, SESSION, PID, PID, 0, written, data, offsets, times, 0, int(source)
        )
        events = self.streams.run(run, wall_offset_ns=1000)
        assert self.stage.unexplained == 0
        return events


@pytest.fixture
def world() -> World:
    return World(CaptureMode.REDACTED)


def test_a_message_says_who_spoke_when_and_in_which_session(world: World) -> None:
    assert world.say(PING[:7]) == []
    (event,) = world.say(PING[7:] + b"\n")
    assert (event.session, event.pid, event.boot_ns, event.wall_ns) == (SESSION, PID, 50, 1050)
    message = event.json_rpc_message
    assert (message.connection, message.to_server, message.data) == (1, True, PING)
    assert message.bytes == len(PING) + 1
    (answer,) = world.say(b'{"jsonrpc":"2.0","id":1,"result":{}}\n', written=True)
    assert not answer.json_rpc_message.to_server
    assert world.wanted == [1]
    assert world.stage.emitted == world.stage.received


def test_what_is_no_json_rpc_is_switched_off(world: World) -> None:
    for _ in range(3):
        assert world.say(b'{"type":"text"}\n', written=True) == []
    assert world.muted == []
    world.say(b"{}\n{}\n", written=True)
    assert world.muted == [1]
    assert world.say(PING + b"\n") == []
    assert world.stage.filtered == {"no JSON-RPC": world.stage.received}


def test_words_before_and_between_messages_do_not_matter(world: World) -> None:
    world.say(b"{ready}\n", written=True)
    assert world.say(PING + b"\n")
    for _ in range(9):
        world.say(b"debug\n", written=True)
    assert world.say(PING + b"\n")
    assert world.muted == []


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (CaptureMode.FULL, {"key": FAKE_KEY}),
        (CaptureMode.METADATA, None),
    ],
)
def test_the_mode_decides_what_leaves(mode: CaptureMode, expected: object) -> None:
    message = json.dumps(
        {
            "jsonrpc": "2.0",
            "method": "tools/call",
            "params": {"name": "t", "arguments": {"key": FAKE_KEY}},
        }
    ).encode()
    (event,) = World(mode).say(message + b"\n")
    params = json.loads(event.json_rpc_message.data)["params"]
    assert params["name"] == "t"
    assert params.get("arguments") == expected


def test_credentials_are_replaced(world: World) -> None:
    message = {"jsonrpc": "2.0", "result": {"text": f"the key is {FAKE_KEY}."}}
    (event,) = world.say(json.dumps(message).encode() + b"\n", written=True)
    text = json.loads(event.json_rpc_message.data)["result"]["text"]
    assert text.startswith("the key is <redacted:")


def test_nothing_leaves_in_mode_none() -> None:
    world = World(CaptureMode.NONE)
    assert world.say(PING + b"\n") == []
    assert world.stage.filtered == {"mode": len(PING) + 1}


def test_output_of_tools_leaves_only_if_asked_for() -> None:
    world = World(CaptureMode.REDACTED, output=True)
    (event,) = world.say(b"a line\n", written=True)
    assert (event.process_output.fd, event.process_output.data) == (1, b"a line\n")
    (event,) = world.say(b"an error\n", written=True, source=PayloadSource.STDERR)
    assert (event.process_output.fd, event.process_output.data) == (2, b"an error\n")
    for _ in range(9):
        assert world.say(b"words\n", written=True)
    assert world.say(b"typed\n") == []
    assert world.muted == []


def test_the_end_of_a_process_ends_its_last_line(world: World) -> None:
    world.say(PING)
    assert world.stage.held == len(PING)
    assert world.streams.close_process(PID + 1, 90, 0) == []
    (event,) = world.streams.close_process(PID, 90, 0)
    assert event.json_rpc_message.data == PING
    assert world.stage.held == 0
    assert world.streams.closed(ConnectionClosed(1, PID, 95, 0, 0), 0) == []


def test_what_the_kernel_lost_or_left_out_is_counted_once(world: World) -> None:
    for _ in range(2):
        world.streams.count_kernel(ClassCounters(ring_full_bytes=5, filtered_bytes=9))
    assert world.stage.dropped == {"ring_full": 5}
    assert world.stage.filtered == {"no JSON-RPC, not taken": 9}
    assert world.stage.unexplained == 0


def test_typed_lines_leave_without_credentials(world: World) -> None:
    data = b"ls\0\0export KEY=" + FAKE_KEY.encode() + b"\0"
    offsets = memoryview(bytearray(24)).cast("Q")
    offsets[1], offsets[2] = 3, 4
    times = memoryview(bytearray(24)).cast("Q")
    source = int(PayloadSource.READLINE)
    run = TlsRun(3, SESSION, PID, PID, 0, False, data, offsets, times, 0, source)
    lines = [event.shell_input.line for event in world.streams.run(run, 0)]
    assert lines[:2] == ["ls", ""]
    assert lines[2].startswith("export KEY=<redacted:")
    assert world.stage.unexplained == 0
