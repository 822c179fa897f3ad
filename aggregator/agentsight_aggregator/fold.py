"""The fold of a partition: events in, findings and samples out.

Must not know the bus or a clock. It routes: HTTP events through the assembler and a reader of
calls, process events into the process table; then lets each session settle what is final.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import msgspec
from agentsight_core.errors import Permanent
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb import findings_pb2
from agentsight_core.ports import END_OF_TIME_NS

from agentsight_aggregator.analyzers import sessions as lifecycle
from agentsight_aggregator.analyzers.calls import Calls
from agentsight_aggregator.analyzers.causes import Causes
from agentsight_aggregator.analyzers.findings import Output, storable
from agentsight_aggregator.analyzers.mcp import Mcp
from agentsight_aggregator.analyzers.metrics import Measures, Meter
from agentsight_aggregator.analyzers.processes import Processes
from agentsight_aggregator.analyzers.sessions import Sessions
from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_aggregator.analyzers.state import SessionState
from agentsight_aggregator.analyzers.tools import Tools
from agentsight_aggregator.analyzers.turns import Turns
from agentsight_aggregator.call import LlmCall
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.providers import read_call as read_any_call
from agentsight_aggregator.providers.socket_calls import end_calls, take_message
from agentsight_aggregator.samples import Counter, Sample
from agentsight_aggregator.streams.exchanges import ExchangeAssembler, OpenExchanges

__all__ = ["FoldSettings", "PartitionFold", "ReadCall", "build_fold"]

ReadCall = Callable[[Exchange], LlmCall | None]
Finding = findings_pb2.Finding

_DEFAULTS = FoldSettings()
# First byte of a snapshot. Fields with defaults may be added without a new version.
_VERSION = 1
_MAX_ENDED = 10_000
_HTTP = frozenset(
    {
        "http_request_started",
        "http_response_started",
        "http_body",
        "http_finished",
        "websocket_message",
    }
)


class FoldState(msgspec.Struct):
    """Everything that a checkpoint holds."""

    sessions: dict[int, SessionState] = {}
    exchanges: OpenExchanges = msgspec.field(default_factory=OpenExchanges)
    measures: Measures = msgspec.field(default_factory=Measures)
    # Sessions that were written to the end, for events that come late.
    ended: dict[int, None] = {}
    losses: int = 0
    # What the log has said last of the settings that may change; None: not yet written down.
    content_on_spans: bool | None = None
    session_idle_ns: int | None = None


class PartitionFold:
    """`ports.Analyzer` over one partition of EVENTS."""

    def __init__(self, read_call: ReadCall, settings: FoldSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._read_call = read_call
        self._meter = Meter(settings.max_label_sets)
        self._output = Output(settings, self._meter)
        self._assembler = ExchangeAssembler(settings.exchanges, take_message, end_calls)
        self._processes = Processes(self._output)
        self._causes = Causes(self._output)
        tools = Tools(self._output)
        self._calls = Calls(self._output, Turns(self._output), tools, self._causes)
        self._mcp = Mcp(self._output)
        self._lives = Sessions(
            self._output, self._calls, tools, self._processes, self._causes, self._mcp
        )
        self._state = FoldState()
        self._set(settings.content_on_spans, settings.session_idle_ns)

    def observe(self, event: pb.Event) -> list[Finding]:
        """Take the next event of the log; return what has become final by it."""
        kind = event.WhichOneof("body")
        if kind == "session_started":
            # Its watcher was stopped and has started anew: the session has the same number.
            self._state.ended.pop(event.session, None)
        if kind == "tick":
            if event.tick.HasField("settings"):
                wanted = event.tick.settings
                self._set(wanted.content_on_spans, wanted.session_idle_ns)
            return self.advance(event.wall_ns)
        if kind == "lost":
            self._lose(event)
        elif kind is None or not event.session or event.session in self._state.ended:
            self._meter.add("agentsight.ignored", 1, reason=self._reason(event, kind))
        else:
            self._observe_in_session(event, kind)
        return self._output.take()

    def advance(self, now_ns: int) -> list[Finding]:
        """Event time has reached `now_ns`: settle, time out, forget."""
        for exchange in self._assembler.advance(now_ns):
            self._exchange(exchange)
        for session in list(self._state.sessions.values()):
            self._pass_time(session, now_ns)
        return self._output.take()

    def samples(self) -> Iterator[Sample]:
        """Return the business metrics of the partition, sorted by name and labels."""
        yield from self._meter.samples()
        exchanges = self._assembler.state
        counts = [("evicted", exchanges.evicted), *sorted(exchanges.orphans.items())]
        for kind, count in counts:
            if count:
                yield Counter(
                    name="agentsight.exchanges.incomplete",
                    unit="{item}",
                    description="Exchanges closed early, and HTTP events without a request.",
                    labels=(("kind", kind),),
                    value=count,
                )

    def snapshot(self) -> bytes:
        """Return the whole state: one version byte, then msgpack."""
        self._state.exchanges = self._assembler.state
        self._state.measures = self._meter.state
        return bytes([_VERSION]) + msgspec.msgpack.encode(self._state)

    def restore(self, state: bytes) -> None:
        """Take over the state of a snapshot; raise Permanent if it is none that is known."""
        if state[:1] != bytes([_VERSION]):
            raise Permanent(f"a snapshot of version {state[:1].hex()}; known: {_VERSION:02x}")
        try:
            restored = msgspec.msgpack.decode(state[1:], type=FoldState)
        except msgspec.DecodeError as error:
            raise Permanent(f"the snapshot cannot be read: {error}") from error
        self._state = restored
        self._assembler.state = restored.exchanges
        self._meter.state = restored.measures
        content, idle_ns = restored.content_on_spans, restored.session_idle_ns
        settings = self._settings
        self._set(
            settings.content_on_spans if content is None else content,
            settings.session_idle_ns if idle_ns is None else idle_ns,
        )

    def _set(self, content_on_spans: bool, session_idle_ns: int) -> None:
        """Fold by these settings from now on; they belong to the state."""
        self._state.content_on_spans = content_on_spans
        self._state.session_idle_ns = session_idle_ns
        self._settings = dataclasses.replace(
            self._settings, content_on_spans=content_on_spans, session_idle_ns=session_idle_ns
        )
        self._output.settings = self._settings

    def _observe_in_session(self, event: pb.Event, kind: str) -> None:
        session = self._state.sessions.get(event.session) or self._enter(event)
        session.last_ns = max(session.last_ns, event.wall_ns)
        session.idle = False
        if kind in _HTTP:
            for exchange in self._assembler.observe(kind, event):
                self._exchange(exchange)
        elif kind in self._processes.steps:
            self._processes.steps[kind](session, event)
        elif kind == "json_rpc_message":
            self._mcp.observe(session, event)
        elif kind == "session_started":
            lifecycle.begin(session, event)
            self._processes.begin_root(session, event)
        elif kind == "session_ended":
            _note_end(session, event)
        if not session.due_ns:
            session.due_ns = session.last_ns + self._settings.reorder_ns
        elif session.last_ns >= session.due_ns:
            self._settle(session, session.last_ns)

    def _enter(self, event: pb.Event) -> SessionState:
        while len(self._state.sessions) >= self._settings.max_sessions:
            oldest = min(self._state.sessions.values(), key=lambda session: session.last_ns)
            self._meter.add("agentsight.evicted", 1, table="sessions")
            self._end(oldest, "evicted")
        session = lifecycle.new_session(event)
        self._state.sessions[event.session] = session
        self._meter.add("agentsight.sessions", 1, state="started")
        return session

    def _exchange(self, exchange: Exchange) -> None:
        session = self._state.sessions.get(exchange.session)
        if self._read(session, exchange) and session is not None:
            self._settle(session, session.last_ns)

    def _read(self, session: SessionState | None, exchange: Exchange) -> bool:
        """Hand an exchange to who understands it; False if nobody does."""
        call = self._read_call(exchange)
        kind = "llm" if call else "other"
        if session is not None and call is not None:
            self._calls.observe(session, call, exchange)
        elif session is not None and self._mcp.observe_exchange(session, exchange):
            kind = "mcp"
        self._meter.add("agentsight.exchanges", 1, kind=kind)
        return kind != "other"

    def _settle(self, session: SessionState, now_ns: int) -> None:
        if session.end_ns and now_ns >= session.end_ns + self._settings.reorder_ns:
            self._end(session, "ended")
            return
        busy_since_ns = self._assembler.oldest_start_ns(session.id)
        self._lives.settle(session, now_ns, busy_since_ns=busy_since_ns)

    def _pass_time(self, session: SessionState, now_ns: int) -> None:
        quiet_ns = now_ns - session.last_ns
        if now_ns == END_OF_TIME_NS or quiet_ns >= self._settings.session_forget_ns:
            self._end(session, "ended" if session.end_ns else "unfinished")
            return
        if session.due_ns and now_ns >= session.due_ns:
            self._settle(session, now_ns)
            if session.id in self._state.ended:
                return
        if quiet_ns >= self._settings.session_idle_ns and not session.idle:
            session.idle = True
            self._lives.close(session, "idle")
            self._settle(session, now_ns)

    def _end(self, session: SessionState, why: str) -> None:
        session.due_ns = 0
        for exchange in self._assembler.close_session(session.id):
            self._read(session, exchange)
        self._lives.end(session, why)
        self._state.sessions.pop(session.id, None)
        self._state.ended[session.id] = None
        if len(self._state.ended) > _MAX_ENDED:
            del self._state.ended[next(iter(self._state.ended))]

    def _lose(self, event: pb.Event) -> None:
        lost = event.lost
        stage, reason, unit = storable(lost.stage), storable(lost.reason), storable(lost.unit)
        self._state.losses += 1
        record = findings_pb2.LossRecord(stage=stage, reason=reason, count=lost.count, unit=unit)
        self._output.loss(event.session, event.wall_ns, self._state.losses, record)
        self._meter.add("agentsight.lost", lost.count, stage=stage, reason=reason, unit=unit)

    def _reason(self, event: pb.Event, kind: str | None) -> str:
        if kind is None:
            return "event_without_body"
        return "after_the_session_ended" if event.session else "event_without_session"


def build_fold(settings: FoldSettings = _DEFAULTS) -> PartitionFold:
    """Return a fold that reads the calls of all known providers."""
    return PartitionFold(read_any_call, settings)


def _note_end(session: SessionState, event: pb.Event) -> None:
    ended = event.session_ended
    session.end_ns = event.wall_ns
    session.exit_code, session.exit_signal = ended.exit_code, ended.exit_signal
    session.watcher_stopped = ended.watcher_stopped


def findings_of(fold: PartitionFold, events: Iterable[pb.Event]) -> Iterator[Finding]:
    """Fold a whole log, its end included."""
    for event in events:
        yield from fold.observe(event)
    yield from fold.advance(END_OF_TIME_NS)
