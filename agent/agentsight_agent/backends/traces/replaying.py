"""A trace through the pipeline of the live back ends: chunks of bytes in, events out.

Must not know formats or where the bytes come from.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentsight_core import wire
from agentsight_core.ids import digest
from agentsight_core.parsers.http1 import HttpSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.backends.pipeline import make_pipeline
from agentsight_agent.backends.traces.backend import TraceBackend
from agentsight_agent.backends.traces.forest import Forest
from agentsight_agent.backends.traces.reader import TraceAccount, TraceReader
from agentsight_agent.enrich.boot import Node
from agentsight_agent.frames import FrameWriter, Identity
from agentsight_agent.redact import Redactor
from agentsight_agent.sessions.rules import SessionRule


class TraceReplay:
    """Events of one trace; `about` (bytes of it) names it, so that it always gives the same ids.

    Afterwards `ledger` tells what became of its records, and `sessions` how many agents were found.
    """

    def __init__(self, reader: TraceReader, about: bytes, redactor: Redactor, rule: str) -> None:
        name = digest("trace", about, size=16).hex()
        node = Node(name="", cluster="", boot_id=name, agent_id=name[:16])
        self.ledger = Ledger()
        self._reader = reader
        self._trace = self.ledger.stage("trace", "records")
        self._frames = _Frames()
        writer = FrameWriter(
            Identity(node.agent_id, 0, "", ""), self._frames, self.ledger.stage("events", "events")
        )
        self._forest = Forest(node, SessionRule(name=rule), reader.is_root)
        self._pipeline = make_pipeline(self._forest, redactor, writer, self.ledger, HttpSettings())
        self._writer = writer
        self._lost_bytes = 0

    @property
    def sessions(self) -> int:
        """How many sessions have begun."""
        return self._forest.sessions

    def events(self, chunks: Iterator[bytes]) -> Iterator[pb.Event]:
        """Yield the events, in the order of their times; losses where they showed."""
        backend = TraceBackend(self._reader, chunks)
        last_ns = 0
        more = True
        while more:
            drained = backend.drain(0)
            more = drained.more
            self._pipeline.take(drained, self._reader.wall_offset_ns)
            self._account(self._reader.account)
            self._writer.flush()
            for event in self._frames.take():
                last_ns = max(last_ns, event.boot_ns)
                yield event
            self._pipeline.tell_losses(last_ns, self._reader.wall_offset_ns)
        self._pipeline.stop(last_ns, self._reader.wall_offset_ns)
        yield from self._frames.take()

    def _account(self, account: TraceAccount) -> None:
        """Bring the stages up to date."""
        trace = self._trace
        trace.emitted = account.read
        trace.filtered, trace.dropped = dict(account.unused), dict(account.lost)
        left = sum(trace.filtered.values()) + sum(trace.dropped.values())
        trace.received = trace.emitted + left
        tls = self.ledger.stage("tls", "bytes")
        missing, self._lost_bytes = account.lost_bytes - self._lost_bytes, account.lost_bytes
        if missing:
            tls.received += missing
            tls.drop("not_in_trace", missing)


class _Frames:
    """A sink that gives the events back."""

    def __init__(self) -> None:
        self._events: list[pb.Event] = []

    def put(self, header: pb.FrameHeader, frame: bytes, rank: int) -> None:
        del header, rank
        self._events += wire.decode_frame(frame)[1]

    def take(self) -> list[pb.Event]:
        """Return the events so far, oldest first: frames are of one session each."""
        events, self._events = self._events, []
        return sorted(events, key=lambda event: event.boot_ns)

    async def drain(self) -> None:
        return

    async def close(self) -> None:
        return
