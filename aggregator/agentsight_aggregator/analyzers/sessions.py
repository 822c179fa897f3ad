"""The life of a session: begins, settles what had to wait, ends; and its summary.

Must not read events of its own accord: the fold hands them in.
"""

from __future__ import annotations

from agentsight_core.pb import events_pb2 as events
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.calls import Calls
from agentsight_aggregator.analyzers.causes import Causes
from agentsight_aggregator.analyzers.effect_state import Effect
from agentsight_aggregator.analyzers.effects import touches
from agentsight_aggregator.analyzers.findings import Attributes, Output, span_id, storable, trace_id
from agentsight_aggregator.analyzers.mcp import Mcp
from agentsight_aggregator.analyzers.network_totals import network_attributes, round_trip_us
from agentsight_aggregator.analyzers.placing import place
from agentsight_aggregator.analyzers.process_spans import write_process
from agentsight_aggregator.analyzers.processes import Processes
from agentsight_aggregator.analyzers.state import ProcessState, SessionState, ToolState
from agentsight_aggregator.analyzers.tools import Tools

# How often at most a busy session is gone through for what has become ripe.
_SETTLE_EVERY_NS = 250_000_000


def new_session(event: events.Event) -> SessionState:
    """Return the state of a session of which `event` is the first."""
    trace = trace_id(event.session, "session")
    return SessionState(
        id=event.session,
        start_ns=event.wall_ns,
        last_ns=event.wall_ns,
        trace_id=trace,
        span_id=span_id(trace, "session"),
    )


def begin(session: SessionState, event: events.Event) -> None:
    """Take in who the session is."""
    started = event.session_started
    session.agent_name = storable(started.agent_name) or "unknown"
    session.node, session.cluster = started.node, started.cluster
    session.container_id, session.argv = started.container_id, tuple(started.argv)
    session.cwd, session.root_pid = started.cwd, started.root_pid
    session.imported = started.origin == events.SESSION_ORIGIN_IMPORT
    session.uid = -1 if session.imported else started.uid
    session.namespace = storable(started.container.namespace)
    session.place = _place(started.container)
    session.start_ns = min(session.start_ns, event.wall_ns)


def _image(reference: str) -> tuple[str, str]:
    """Return name and tag of an image: "acme/web:3" is ("acme/web", "3"); a digest stays."""
    folder, slash, last = reference.rpartition("/")
    name, colon, tag = last.partition(":")
    return (f"{folder}{slash}{name}", tag) if colon and "@" not in last else (reference, "")


def _place(container: events.Container) -> tuple[tuple[str, str], ...]:
    """Return what is known of a container in the names of OTel's resources (container, k8s)."""
    image, tag = _image(container.image)
    texts = {
        "container.name": container.name,
        "container.image.name": image,
        "container.image.tags": tag,
        "container.runtime.name": container.runtime,
        "k8s.pod.name": container.pod,
        "k8s.pod.uid": container.pod_uid,
        "k8s.namespace.name": container.namespace,
        **{f"k8s.pod.label.{label.key}": label.value for label in container.labels},
    }
    return tuple((key, storable(text)) for key, text in texts.items() if text)


class Sessions:
    """Writes what has become final, in an order that does not depend on when it is asked."""

    def __init__(
        self,
        output: Output,
        calls: Calls,
        tools: Tools,
        processes: Processes,
        causes: Causes,
        mcp: Mcp,
    ) -> None:
        self._output = output
        self._settings = output.settings
        self._calls = calls
        self._tools = tools
        self._processes = processes
        self._causes = causes
        self._mcp = mcp

    def settle(
        self, session: SessionState, now_ns: int, *, busy_since_ns: int, last: bool = False
    ) -> None:
        """Write what is final at `now_ns`; `last`: the session is over, everything is."""
        ripe_ns = now_ns if last else now_ns - self._settings.reorder_ns
        self._calls.give_up_retries(
            session, now_ns if last else now_ns - self._settings.retry_wait_ns
        )
        self._end_quiet_turns(session, now_ns)
        self._mcp.settle(session, now_ns, busy_since_ns=busy_since_ns, last=last)
        self._causes.settle(session, now_ns, busy_since_ns=busy_since_ns, last=last)
        self._place_effects(session, ripe_ns)
        for tool in [tool for tool in session.tools if _ripe(session, tool, ripe_ns)]:
            self._tools.write(session, tool, now_ns, tool.outcome)
        self._write_processes(session, ripe_ns)
        session.due_ns = now_ns + _SETTLE_EVERY_NS if _waits(session) else 0
        if session.summary_due and not last:
            self.summarize(session)

    def close(self, session: SessionState, why: str) -> None:
        """End the threads of a session that does nothing for long, or never again."""
        end_ns = max(session.end_ns, session.last_ns)
        for number in list(session.threads):
            self._calls.end_thread(session, number, end_ns, why)
        session.threads.clear()
        session.thread_ids.clear()

    def end(self, session: SessionState, why: str) -> None:
        """Write everything that is still open; the session is forgotten afterwards."""
        end_ns = max(session.end_ns, session.last_ns)
        self.close(session, why)
        self.settle(session, end_ns, busy_since_ns=0, last=True)
        for process in session.processes.values():
            if not process.written:
                write_process(self._output, session, process, end_ns)
        if session.root_start_ns:
            self._write_root(session, end_ns)
        self.summarize(session)
        self._output.meter.add("agentsight.sessions", 1, state=why)

    def summarize(self, session: SessionState) -> None:
        """Say where the session stands."""
        session.summary_due = False
        totals, network = session.totals, session.network
        summary = pb.SessionSummary(
            agent_name=session.agent_name,
            node=session.node,
            start_ns=session.start_ns,
            last_activity_ns=session.last_ns,
            ended=session.end_ns > 0,
            turns=totals.turns,
            llm_calls=totals.llm_calls,
            failed_llm_calls=totals.failed_llm_calls,
            tool_calls=totals.tool_calls,
            failed_tool_calls=totals.failed_tool_calls,
            processes=totals.processes,
            files=totals.files,
            connections=totals.connections,
            input_tokens=totals.input_tokens,
            output_tokens=totals.output_tokens,
            cost_usd=totals.cost_usd,
            unpriced_calls=totals.unpriced_calls,
            argv=session.argv,
            container_id=session.container_id,
            cwd=session.cwd,
            exit_code=session.exit_code,
            models=[storable(model) for model in totals.models],
            failed_connections=network.failed,
            sent_bytes=network.sums.sent_bytes,
            received_bytes=network.sums.received_bytes,
            sent_segments=network.sums.sent_segments,
            retransmitted_segments=network.sums.retransmitted_segments,
            lost_segments=network.sums.lost_segments,
            round_trip_us=round_trip_us(network),
            least_round_trip_us=network.least_round_trip_us,
        )
        self._output.summary(session, summary)

    def _end_quiet_turns(self, session: SessionState, now_ns: int) -> None:
        limit = now_ns - self._settings.turn_idle_ns
        busy = {tool.thread for tool in session.tools if not tool.outcome}
        busy |= {item.thread for item in session.retrying.values()}
        for number, thread in session.threads.items():
            if thread.turn is not None and thread.last_ns <= limit and number not in busy:
                self._calls.end_thread(session, number, now_ns, "quiet")

    def _place_effects(self, session: SessionState, ripe_ns: int) -> None:
        """Put the effects of talking processes on the tool whose arguments name them."""
        limit = self._settings.max_effects
        for process in session.processes.values():
            if not process.unplaced:
                continue
            tools = [tool for tool in session.tools if _may_have(tool, process)]
            waiting = []
            for effect in process.unplaced:
                during = [tool for tool in tools if _during(tool, effect)]
                if effect.time_ns > ripe_ns or any(not tool.outcome for tool in during):
                    waiting.append(effect)
                elif not _give(during, process, effect, limit):
                    place(process, effect, limit)
            process.unplaced = waiting

    def _write_processes(self, session: SessionState, ripe_ns: int) -> None:
        done = [
            (serial, process)
            for serial, process in session.processes.items()
            if process.exited
            and not process.written
            and process.exit_ns <= ripe_ns
            and process.cause is not None
        ]
        for serial, process in done:
            write_process(self._output, session, process, process.exit_ns)
            self._tools.take_process(session, process)
            self._processes.forget(session, serial)
        while len(session.processes) > self._settings.max_processes:
            self._evict_process(session)

    def _evict_process(self, session: SessionState) -> None:
        items = session.processes.items()
        serial, process = next((item for item in items if item[1].exited), next(iter(items)))
        self._output.meter.add("agentsight.evicted", 1, table="processes")
        self._causes.settle_one(session, process)
        if not process.written:
            write_process(self._output, session, process, session.last_ns)
        process.children = 0
        if serial in session.undecided:
            session.undecided.remove(serial)
        self._processes.forget(session, serial)

    def _write_root(self, session: SessionState, end_ns: int) -> None:
        failed = bool(session.exit_code or session.exit_signal)
        span = pb.Span(
            trace_id=session.trace_id,
            span_id=session.span_id,
            name=storable(f"session {session.agent_name}"),
            kind=pb.SPAN_KIND_INTERNAL,
            start_ns=min(session.start_ns, session.root_start_ns),
            end_ns=max(end_ns, session.start_ns),
            status=pb.SPAN_STATUS_ERROR if failed else pb.SPAN_STATUS_UNSET,
        )
        attributes: Attributes = {
            "gen_ai.agent.name": session.agent_name,
            **network_attributes(session.network),
        }
        if session.argv:
            attributes["process.command_args"] = session.argv[:256]
        if session.watcher_stopped:
            attributes["agentsight.session.watcher_stopped"] = True
        elif session.end_ns:
            attributes["process.exit.code"] = session.exit_code
        self._output.span(session, span, attributes)


def _ripe(session: SessionState, tool: ToolState, ripe_ns: int) -> bool:
    """Tell whether `tool` is over and no process that it may have caused is still to be placed."""
    if not tool.outcome or tool.end_ns > ripe_ns:
        return False
    return not any(
        tool.window_start_ns <= session.processes[serial].start_ns <= tool.end_ns
        for serial in session.undecided
    )


def _waits(session: SessionState) -> bool:
    """Tell whether anything becomes ripe by the mere passing of time."""
    return bool(
        session.end_ns
        or session.tools
        or session.undecided
        or session.mcp_calls
        or session.retrying
        or any(thread.turn is not None for thread in session.threads.values())
        or any(item.exited and not item.written for item in session.processes.values())
    )


def _may_have(tool: ToolState, process: ProcessState) -> bool:
    """Tell whether `tool` runs in `process`: it talks to the model, or it is the MCP server."""
    return tool.pid == process.pid or _serves(process, tool)


def _serves(process: ProcessState, tool: ToolState) -> bool:
    return tool.mcp is not None and tool.mcp.peer.server_pid == process.pid


def _during(tool: ToolState, effect: Effect) -> bool:
    if tool.mcp is not None and effect.time_ns < tool.mcp.call.start_ns:
        return False
    if effect.time_ns < tool.window_start_ns:
        return False
    return not tool.outcome or effect.time_ns <= tool.end_ns


def _give(tools: list[ToolState], process: ProcessState, effect: Effect, limit: int) -> bool:
    """Put `effect` on the tool call that names its file most exactly; False if none does.

    What an MCP server does while it works on one call only belongs to that call.
    """
    served = [tool for tool in tools if _serves(process, tool)]
    named = [
        (len(text), -position, tool)
        for position, tool in enumerate(tools)
        for text in tool.needles
        if touches(effect, text)
    ]
    if not named and len(served) != 1:
        return False
    tool = max(named, key=lambda item: item[:2])[2] if named else served[0]
    if len(tool.effects) < limit:
        tool.effects.append(effect)
    else:
        tool.omitted_effects += 1
    return True
