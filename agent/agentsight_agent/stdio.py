"""Standard streams of processes in sessions: runs of bytes in, JSON-RPC messages (MCP) out.

Decides which streams are wanted: one that shows no JSON-RPC in its first lines is switched off in
the kernel. Must not know what a message asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from agentsight_core.parsers.jsonrpc import Line, LineSplitter, is_message
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.bpf.counters import ClassCounters
from agentsight_agent.bpf.records import ConnectionClosed, PayloadSource, TlsRun
from agentsight_agent.owners import Owners
from agentsight_agent.redact import Redactor

NO_JSON_RPC = "no JSON-RPC"
# A server may print a few words before it speaks JSON-RPC.
_LINES_BEFORE_VERDICT = 4
_FILTERED_SKIPS = frozenset({"empty line"})


class Sessions(Protocol):
    """What the streams need to know about sessions."""

    def session_of(self, pid: int) -> int:
        """Return the session of a process, 0 if it is in none."""
        ...


class StreamSwitches(Protocol):
    """What the kernel side captures of single streams."""

    def mute(self, connection: int) -> None:
        """Capture nothing more."""
        ...

    def want(self, connection: int) -> None:
        """Capture all that comes, without a bound."""
        ...


@dataclass(slots=True)
class _Stream:
    """Standard input and output of one program, or its standard error."""

    pid: int
    session: int
    source: int
    # By `written`.
    sides: dict[bool, LineSplitter] = field(
        default_factory=lambda: {True: LineSplitter(), False: LineSplitter()}
    )
    lines: int = 0
    # True: it speaks JSON-RPC; False: it does not; None: not known yet.
    wanted: bool | None = None
    held_bytes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


class StdioStreams:
    """All standard streams of which bytes have been seen.

    With `output`, what is no JSON-RPC becomes ProcessOutput events; how much of it is taken is the
    kernel side's business.
    """

    def __init__(
        self,
        sessions: Sessions,
        redactor: Redactor,
        switches: StreamSwitches,
        ledger: Ledger,
        *,
        output: bool = False,
    ) -> None:
        self.output = output
        self._sessions = sessions
        self._redactor = redactor
        self._switches = switches
        self._stage = ledger.stage("stdio", "bytes")
        self._streams: dict[int, _Stream] = {}
        self._owners = Owners()
        self._told: dict[str, int] = {}

    def run(self, run: TlsRun, wall_offset_ns: int) -> list[pb.Event]:
        """Take one run of a standard stream; return the events that it completes."""
        self._stage.received += len(run.data)
        if run.source == PayloadSource.READLINE:
            return self._typed(run, wall_offset_ns)
        stream = self._streams.get(run.connection)
        if stream is None:
            session = run.session or self._sessions.session_of(run.pid)
            stream = self._streams[run.connection] = _Stream(run.pid, session, run.source)
            self._owners.add(run.pid, run.connection)
        if stream.wanted is False and not self.output:
            self._stage.filter(NO_JSON_RPC, len(run.data))
            return []
        side = stream.sides[run.written]
        lines = side.feed(run.data, run.offsets, run.times_ns, lost=run.lost_bytes)
        events = self._take(run.connection, stream, lines, run.written, wall_offset_ns)
        self._settle(stream)
        return events

    def closed(self, record: ConnectionClosed, wall_offset_ns: int) -> list[pb.Event]:
        """Take what is left of a stream whose program has executed another one."""
        return self._end(record.connection, record.boot_ns, wall_offset_ns)

    def close_process(self, pid: int, boot_ns: int, wall_offset_ns: int) -> list[pb.Event]:
        """End the streams of a process that is gone."""
        keys = self._owners.keys_of(pid)
        return [event for key in keys for event in self._end(key, boot_ns, wall_offset_ns)]

    def close_all(self, boot_ns: int, wall_offset_ns: int) -> list[pb.Event]:
        """End all streams, because the watcher stops."""
        keys = list(self._streams)
        return [event for key in keys for event in self._end(key, boot_ns, wall_offset_ns)]

    def count_kernel(self, kernel: ClassCounters) -> None:
        """Take over what the kernel side could not, or was not to, give; totals since load."""
        lost = {
            "ring_full": kernel.ring_full_bytes,
            "read_fault": kernel.read_fault_bytes,
            "call_limit": kernel.truncated_bytes,
        }
        for reason, total in lost.items():
            if new := self._new(reason, total):
                self._stage.drop(reason, new)
        if new := self._new("filtered", kernel.filtered_bytes):
            self._stage.filter(f"{NO_JSON_RPC}, not taken", new)

    def _new(self, reason: str, total: int) -> int:
        new = total - self._told.get(reason, 0)
        self._told[reason] = total
        self._stage.received += new
        return new

    def _take(
        self, key: int, stream: _Stream, lines: list[Line], written: bool, wall_offset_ns: int
    ) -> list[pb.Event]:
        events: list[pb.Event] = []
        for line in lines:
            event = pb.Event(
                boot_ns=line.time_ns,
                wall_ns=line.time_ns + wall_offset_ns,
                session=stream.session,
                pid=stream.pid,
                tid=stream.pid,
            )
            # A line that was too long is one of JSON-RPC if the others are.
            if is_message(line.data) or (not line.data and stream.wanted):
                self._judge(key, stream, wanted=True)
                events += self._message(event, key, line, written)
            else:
                self._judge(key, stream, wanted=False)
                events += self._text(event, stream, line, written)
        return events

    def _message(self, event: pb.Event, key: int, line: Line, written: bool) -> Iterator[pb.Event]:
        data = self._redactor.rpc(line.data)
        if data is None:
            self._stage.filter("mode", line.size)
            return
        if line.data:
            self._stage.emitted += line.size
        event.json_rpc_message.CopyFrom(
            pb.JsonRpcMessage(
                connection=key,
                to_server=not written,
                data=data,
                bytes=line.size,
                lost_bytes=max(line.lost_bytes, 0),
            )
        )
        yield event

    def _text(
        self, event: pb.Event, stream: _Stream, line: Line, written: bool
    ) -> Iterator[pb.Event]:
        """Take a line that is no JSON-RPC."""
        if not line.data:
            return  # too long to be kept, and counted as that
        data = self._redactor.output(line.data) if self.output and written else None
        if data is None:
            self._stage.filter("mode" if self.output and written else NO_JSON_RPC, line.size)
            return
        self._stage.emitted += line.size
        fd = 2 if stream.source == PayloadSource.STDERR else 1
        event.process_output.CopyFrom(pb.ProcessOutput(fd=fd, data=data + b"\n"))
        yield event

    def _typed(self, run: TlsRun, wall_offset_ns: int) -> list[pb.Event]:
        """Take lines that were typed; each piece is one, with a zero byte at its end."""
        events: list[pb.Event] = []
        ends = [*run.offsets[1:], len(run.data)]
        for start, end, time_ns in zip(run.offsets, ends, run.times_ns, strict=True):
            line = self._redactor.output(run.data[start : end - 1])
            if line is None:
                self._stage.filter("mode", end - start)
                continue
            self._stage.emitted += end - start
            event = pb.Event(
                boot_ns=time_ns,
                wall_ns=time_ns + wall_offset_ns,
                session=run.session,
                pid=run.pid,
                tid=run.tid,
            )
            event.shell_input.line = line.decode("utf-8", "replace")
            events.append(event)
        return events

    def _judge(self, key: int, stream: _Stream, *, wanted: bool) -> None:
        """Have the kernel take all of a stream, or nothing, once that is clear."""
        if stream.wanted is not None:
            return
        stream.lines += 1
        if wanted and stream.source == PayloadSource.STDIO:
            stream.wanted = True
            self._switches.want(key)
        elif stream.lines >= _LINES_BEFORE_VERDICT:
            stream.wanted = False
            if not self.output:
                self._switches.mute(key)

    def _settle(self, stream: _Stream) -> None:
        """Bring what the splitters hold and have skipped into the ledger."""
        held = sum(side.held_bytes for side in stream.sides.values())
        self._stage.held += held - stream.held_bytes
        stream.held_bytes = held
        totals: dict[str, int] = {}
        for side in stream.sides.values():
            for reason, count in side.skipped.items():
                totals[reason] = totals.get(reason, 0) + count
        for reason, total in totals.items():
            new = total - stream.skipped.get(reason, 0)
            if new and reason in _FILTERED_SKIPS:
                self._stage.filter(reason, new)
            elif new:
                self._stage.drop(reason, new)
        stream.skipped = totals

    def _end(self, key: int, boot_ns: int, wall_offset_ns: int) -> list[pb.Event]:
        stream = self._streams.get(key)
        if stream is None:
            return []
        events: list[pb.Event] = []
        for written, side in stream.sides.items():
            events += self._take(key, stream, side.close(boot_ns), written, wall_offset_ns)
        self._settle(stream)
        del self._streams[key]
        self._owners.remove(stream.pid, key)
        return events
