"""What happens to one drained batch: each item goes to who understands it, events go into frames.

Must not wait and must not know how batches come or where frames go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, assert_never

from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Ledger

from agentsight_agent.bpf.counters import KernelCounters
from agentsight_agent.bpf.records import (
    ConnectionClosed,
    ConnectionOpened,
    Drained,
    Item,
    PayloadSource,
    ProcessEffect,
    ProcessNetworked,
    ProcessRecord,
    Segment,
    TlsDuplex,
    TlsRun,
)
from agentsight_agent.connections import Connections
from agentsight_agent.duplex import Turns
from agentsight_agent.frames import FrameWriter, Rank
from agentsight_agent.redact import Redactor
from agentsight_agent.stdio import StdioStreams


@dataclass(frozen=True, slots=True)
class ProcessListener:
    """Who wants to know what programs begin: the keeper of the probes."""

    # The process, and whether its program is known and need not be looked at.
    on_exec: Callable[[int, bool], None]
    on_networked: Callable[[int], None]
    on_exit: Callable[[int], None]


class ProcessFollower(Protocol):
    """Who knows which process belongs to which session."""

    def set_wall_offset(self, wall_offset_ns: int) -> None:
        """Take what Unix time is ahead of boot time."""
        ...

    def session_of(self, pid: int) -> int:
        """Return the session of a process, 0 if it is in none."""
        ...

    def on_process(self, record: ProcessRecord) -> list[pb.Event]:
        """Take a record; return the events to publish."""
        ...

    def stop(self, boot_ns: int) -> list[pb.Event]:
        """End all sessions because the watcher stops."""
        ...


class Pipeline:
    """Drained batches in, frames out."""

    def __init__(
        self,
        tracker: ProcessFollower,
        connections: Connections,
        streams: StdioStreams,
        redactor: Redactor,
        frames: FrameWriter,
        listener: ProcessListener,
        ledger: Ledger,
    ) -> None:
        self._tracker = tracker
        self._connections = connections
        self._streams = streams
        self._redactor = redactor
        self._frames = frames
        self._listener = listener
        self._ledger = ledger
        self._kernel = ledger.stage("kernel", "records")
        self._drain = ledger.stage("drain", "records")
        # Losses that have been told to the aggregators, by stage and reason.
        self._told: dict[tuple[str, str], int] = {}
        # Effects in this batch of processes in no session.
        self._strangers = 0

    def take(self, drained: Drained, wall_offset_ns: int) -> None:
        """Work off one batch."""
        self._tracker.set_wall_offset(wall_offset_ns)
        self._drain.received += drained.records
        opened = {
            item.connection: item for item in drained.items if isinstance(item, ConnectionOpened)
        }
        for item in drained.items:
            if isinstance(item, TlsDuplex | TlsRun) and (
                peer := opened.pop(_connection(item), None)
            ):
                # A connection is often written to before the kernel knows its socket, and the head
                # of its first request is to name the peer.
                self._connections.opened(peer)
            self._take_item(item, wall_offset_ns)
        self._drain.emitted += drained.records - self._strangers
        self._strangers = 0

    def publish(self, events: Iterable[pb.Event]) -> None:
        """Put events that did not come from the ring into frames."""
        for event in events:
            self._redact_argv(event)
            self._frames.add_events([event])

    def count_kernel(self, counters: KernelCounters) -> None:
        """Take over the totals of the kernel side into the ledger."""
        stage = self._kernel
        stage.emitted = counters.submitted
        dropped = {"missed_run": counters.missed_runs}
        for name, counts in counters.by_class().items():
            for reason, count in {**counts.dropped, "map_full": counts.map_full}.items():
                dropped[f"{name}: {reason}"] = count
        stage.dropped = {reason: count for reason, count in dropped.items() if count}
        filtered = {
            _UNWANTED_PATH: counters.file.filtered,
            _UNWANTED_PEER: counters.net.filtered,
            _FAMILIAR: counters.process.filtered,
        }
        stage.filtered = {reason: count for reason, count in filtered.items() if count}
        stage.received = stage.emitted + sum(filtered.values()) + sum(stage.dropped.values())
        self._connections.count_lost(counters.tls)
        self._streams.count_kernel(counters.stdio)

    def tell_losses(self, boot_ns: int, wall_offset_ns: int) -> None:
        """Write a Lost event for everything that was dropped since the last call."""
        for stage in self._ledger.stages:
            for reason, total in stage.dropped.items():
                new = total - self._told.get((stage.name, reason), 0)
                if new and stage.name not in _TELL_THEMSELVES:
                    self._told[stage.name, reason] = total
                    event = pb.Event(boot_ns=boot_ns, wall_ns=boot_ns + wall_offset_ns)
                    event.lost.CopyFrom(
                        pb.Lost(
                            stage=stage.name,
                            reason=reason,
                            count=new,
                            unit=stage.unit,
                            first_boot_ns=boot_ns,
                        )
                    )
                    self._frames.add_events([event])

    def stop(self, boot_ns: int, wall_offset_ns: int) -> None:
        """End everything that is open, because the watcher stops."""
        self.publish(self._connections.close_all(boot_ns, wall_offset_ns))
        self.publish(self._streams.close_all(boot_ns, wall_offset_ns))
        self.publish(self._tracker.stop(boot_ns))
        self.tell_losses(boot_ns, wall_offset_ns)
        self._frames.flush()

    def _take_item(self, item: Item, wall_offset_ns: int) -> None:
        match item:
            case TlsRun() | TlsDuplex():
                self._take_plaintext(item, wall_offset_ns)
            case Segment():
                self._frames.add_encoded(item.session, item.data, item.count, Rank.EFFECTS)
            case ProcessEffect():
                self._take_effect(item)
            case ProcessRecord():
                self._take_process(item, wall_offset_ns)
            case ProcessNetworked():
                self._listener.on_networked(item.pid)
            case ConnectionOpened():
                self._connections.opened(item)
            case ConnectionClosed():
                self.publish(self._connections.closed(item, wall_offset_ns))
                self.publish(self._streams.closed(item, wall_offset_ns))
            case _:
                assert_never(item)

    def _take_plaintext(self, item: TlsRun | TlsDuplex, wall_offset_ns: int) -> None:
        match item:
            case TlsRun() if item.source >= PayloadSource.STDIO:
                self.publish(self._streams.run(item, wall_offset_ns))
            case TlsRun():
                self.publish(self._connections.run(item, wall_offset_ns))
            case TlsDuplex() if item.first.source >= PayloadSource.STDIO:
                for run in Turns(item):
                    self.publish(self._streams.run(run, wall_offset_ns))
            case TlsDuplex():
                self.publish(self._connections.duplex(item, wall_offset_ns))

    def _take_process(self, record: ProcessRecord, wall_offset_ns: int) -> None:
        # The connections first: an exit may end the session, and they belong to it.
        if record.kind != "forked":
            self.publish(
                self._connections.close_process(record.pid, record.boot_ns, wall_offset_ns)
            )
            self.publish(self._streams.close_process(record.pid, record.boot_ns, wall_offset_ns))
        self.publish(self._tracker.on_process(record))
        if record.kind == "executed":
            self._listener.on_exec(record.pid, record.is_familiar)
        elif record.kind == "exited":
            self._listener.on_exit(record.pid)

    def _take_effect(self, effect: ProcessEffect) -> None:
        session = self._tracker.session_of(effect.pid)
        if not session:
            self._strangers += 1
            self._drain.filter("not in a session")
            return
        event = pb.Event.FromString(effect.event)
        event.session = session
        self._frames.add_events([event])

    def _redact_argv(self, event: pb.Event) -> None:
        match event.WhichOneof("body"):
            case "process_executed":
                argv = event.process_executed.argv
            case "session_started":
                argv = event.session_started.argv
            case _:
                return
        argv[:] = self._redactor.argv(list(argv))


def _connection(item: TlsDuplex | TlsRun) -> int:
    return item.first.connection if isinstance(item, TlsDuplex) else item.connection


_FAMILIAR = "start of a familiar program outside of sessions"
_UNWANTED_PEER = "peer not wanted by a filter"
_UNWANTED_PATH = "path not wanted by a filter"
# The spool leaves a tombstone in the place of each frame that it gave up; sessions of a run that
# was killed are told one by one.
_TELL_THEMSELVES = frozenset({"spool", "agent"})
