"""Decides what caused a process: which tool call, turn or other process.

Must not write spans. A process is joined to a tool call by three things: lineage (it descends from
the process that talks to the model), time (it began between the answer that asks and the request
that brings the result) and arguments (its command line is what the answer asked for). Arguments
keep tool calls that run at the same time apart.
"""

from __future__ import annotations

import re

import msgspec
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.findings import Output
from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_aggregator.analyzers.state import Cause, ProcessState, SessionState, ToolState
from agentsight_aggregator.streams.mcp import McpCall

_WORD = re.compile(r"[\w.+-]+")
# Between the name that an agent gives a server and the name of the server's tool.
_NAME_SEPARATORS = "_./:-"
_SHORT_CHARS = 3
_LONG_CHARS = 12
# Shared by the calls that the server works on at the same time.
_BY_SERVER = 0.95
_MAX_COMMAND_CHARS = 64 * 1024


class Match(msgspec.Struct, frozen=True):
    """How well the arguments of a tool call fit a process."""

    score: float
    method: str


_NOTHING = Match(0.0, "")


class Causes:
    """Gives each process of a session its place in a trace, once enough is known."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._settings: FoldSettings = output.settings

    def settle(self, session: SessionState, now_ns: int, *, busy_since_ns: int, last: bool) -> None:
        """Decide what can be decided at `now_ns`.

        `busy_since_ns`: the oldest open exchange of the session began then (0 = none is open); its
        answer may still ask for a process that runs already. `last`: nothing more will come.
        """
        waiting = []
        for serial in session.undecided:
            process = session.processes[serial]
            if process.cause is not None:
                continue
            patient = not last and now_ns < process.start_ns + self._settings.cause_wait_ns
            early = not last and now_ns < process.start_ns + self._settings.reorder_ns
            busy = 0 < busy_since_ns <= process.start_ns
            if early or not self._decide(session, process, wait=patient, busy=busy and patient):
                waiting.append(serial)
        session.undecided = waiting

    def settle_one(self, session: SessionState, process: ProcessState) -> None:
        """Decide about `process` with what is known now."""
        if process.cause is None:
            self._decide(session, process, wait=False, busy=False)

    def above(self, session: SessionState, serial: int | None) -> Cause | None:
        """Return the place below process `serial` if a tool call started it, now and for good."""
        process = session.processes.get(serial or 0)
        if process is None:
            return None
        chain = [process]
        while chain[-1].cause is None and chain[-1].parent in session.processes:
            chain.append(session.processes[chain[-1].parent])
        for member in reversed(chain):
            if self._tools_above(session, member):
                self.settle_one(session, member)
        if process.cause is None or not process.cause.by_tool:
            return None
        return msgspec.structs.replace(process.cause, parent_span_id=process.span_id)

    def _decide(
        self, session: SessionState, process: ProcessState, *, wait: bool, busy: bool
    ) -> bool:
        parent = session.processes.get(process.parent)
        tools = self._tools_above(session, process)
        served = [tool for tool in tools if _is_served(session, process, tool)]
        if tools:
            tool, match = _best(process, served or tools)
            if served and match.score < _BY_SERVER / len(served):
                match = Match(_BY_SERVER / len(served), "mcp")
            ready = match.score >= 0.9 or all(item.outcome for item in tools)
            if wait and not ready:
                return False
            self._give_tool(session, process, tool, match, len(tools))
        elif parent is not None and parent.cause is None and wait:
            return False
        elif parent is not None and parent.cause is not None and parent.cause.by_tool:
            self._give_parent(session, process, parent)
        elif busy:
            return False
        else:
            self._give_turn(session, process, parent)
        return True

    def _tools_above(self, session: SessionState, process: ProcessState) -> list[ToolState]:
        """Return the tool calls of the nearest talking ancestor that ran when `process` began."""
        running = [
            tool
            for tool in session.tools
            if tool.window_start_ns <= process.start_ns
            and (not tool.outcome or process.start_ns <= tool.end_ns)
        ]
        ancestor = session.processes.get(process.parent)
        while running and ancestor is not None:
            mine = [tool for tool in running if tool.pid == ancestor.pid]
            if mine or (ancestor.cause is not None and ancestor.cause.by_tool):
                # Of a subagent's tool call and the one that started the subagent, only the former.
                above = {tool.above_span_id for tool in mine}
                return [tool for tool in mine if tool.span_id not in above]
            ancestor = session.processes.get(ancestor.parent)
        # Lineage is not known: only arguments tell, unless the parent was never watched.
        return [tool for tool in running if match_arguments(process, tool).score >= 0.9]

    def _give_tool(
        self,
        session: SessionState,
        process: ProcessState,
        tool: ToolState,
        match: Match,
        rivals: int,
    ) -> None:
        lineage = "lineage" if _descends(session, process, tool.pid) else "session"
        if match.score:
            method, confidence = f"{lineage}+time+{match.method}", match.score
        else:
            method, confidence = f"{lineage}+time", 0.8 / rivals
        process.cause = Cause(
            tool.trace_id, tool.span_id, method, confidence, by_tool=True, tool_name=tool.name
        )
        tool.processes += 1
        self._edge(session, process, tool.span_id)

    def _give_parent(
        self, session: SessionState, process: ProcessState, parent: ProcessState
    ) -> None:
        assert parent.cause is not None
        process.cause = Cause(
            parent.cause.trace_id,
            parent.span_id,
            "lineage",
            1.0,
            by_tool=parent.cause.by_tool,
            tool_name=parent.cause.tool_name,
        )
        self._edge(session, process, parent.span_id)

    def _give_turn(
        self, session: SessionState, process: ProcessState, parent: ProcessState | None
    ) -> None:
        turns = [thread.turn for thread in session.threads.values() if thread.turn is not None]
        # A side call, such as the making of a title, has no processes if anything else runs.
        spans = [
            (turn.kind != "side", turn.start_ns, turn.trace_id, turn.span_id)
            for turn in turns
            if turn.start_ns <= process.start_ns
        ] + [
            (turn.kind != "side", turn.start_ns, turn.trace_id, turn.span_id)
            for turn in session.closed_turns
            if turn.start_ns <= process.start_ns <= turn.end_ns
        ]
        if spans:
            *_, trace, span = max(spans)
            if parent is not None and parent.cause and parent.cause.trace_id == trace:
                self._give_parent(session, process, parent)
            else:
                process.cause = Cause(trace, span, "time", 0.5)
        elif parent is not None and parent.cause is not None:
            self._give_parent(session, process, parent)
        else:
            earliest = session.root_start_ns or process.start_ns
            session.root_start_ns = min(earliest, process.start_ns)
            process.cause = Cause(session.trace_id, session.span_id, "", 0.0)

    def _edge(self, session: SessionState, process: ProcessState, cause: bytes) -> None:
        assert process.cause is not None
        edge = pb.Edge(
            trace_id=process.cause.trace_id,
            method=process.cause.method,
            confidence=process.cause.confidence,
        )
        self._output.edge(session, process.start_ns, cause, process.span_id, edge)


def match_call(tool: ToolState, call: McpCall) -> Match:
    """Return how well the MCP call `call` fits what `tool` asked for."""
    named = bool(call.name) and (
        tool.name == call.name
        or (tool.name.endswith(call.name) and tool.name[-len(call.name) - 1] in _NAME_SEPARATORS)
    )
    same = bool(call.arguments) and _canonical(tool.arguments) == _canonical(call.arguments)
    if named and same:
        return Match(0.99, "name+arguments")
    if named:
        return Match(0.8, "name")
    empty = _canonical(call.arguments) == _canonical("{}")
    return Match(0.9, "arguments") if same and not empty else _NOTHING


def _canonical(text: str) -> bytes:
    """Return the JSON `text` in the one form that equal values have; b"" if it is none."""
    try:
        return msgspec.json.encode(msgspec.json.decode(text or "{}"), order="sorted")
    except (msgspec.DecodeError, RecursionError):
        return b""


def match_arguments(process: ProcessState, tool: ToolState) -> Match:
    """Return how well what `tool` asked for fits the command lines of `process`."""
    best = _NOTHING
    for argv in [argv for _, argv in process.earlier] + [process.argv]:
        line = " ".join(argv)[:_MAX_COMMAND_CHARS]
        for needle in tool.needles:
            score = _similarity(argv, line, needle)
            if score > best.score:
                best = Match(score, "argument" if score >= 0.8 else "name")
    return best


def _similarity(argv: tuple[str, ...], line: str, needle: str) -> float:
    if needle == line or (needle in argv[1:] and (len(needle) > _SHORT_CHARS or "-c" in argv)):
        return 0.99
    for part in argv[1:]:
        # A shell's wrapper around the command, or a path among the options.
        if f"'{needle}'" in part or (len(needle) >= _LONG_CHARS and needle in part):
            return 0.95
        if len(needle) > _SHORT_CHARS and needle in part:
            return 0.95 if 2 * len(needle) >= len(part) else 0.8
    if len(line) > _SHORT_CHARS and _collapse(line) == _collapse(needle):
        return 0.95
    name = argv[0].rsplit("/", 1)[-1] if argv else ""
    if len(line) > _SHORT_CHARS and len(argv) > 1 and _collapse(line) in _collapse(needle):
        # One command of a script.
        return 0.9
    return 0.7 if name and name in _WORD.findall(needle) else 0.0


def _collapse(text: str) -> str:
    """Return `text` without quotes and with single spaces: a command line as its argv."""
    return " ".join(text.replace('"', "").replace("'", "").split())


def _is_served(session: SessionState, process: ProcessState, tool: ToolState) -> bool:
    """Tell whether an MCP server started `process` while it worked on what `tool` asked for."""
    use = tool.mcp
    if use is None or not use.peer.server_pid or process.start_ns < use.call.start_ns:
        return False
    in_time = not use.call.end_ns or process.start_ns <= use.call.end_ns
    return in_time and _descends(session, process, use.peer.server_pid)


def _best(process: ProcessState, tools: list[ToolState]) -> tuple[ToolState, Match]:
    """Return the tool call that fits best; of equal ones the last, and one that has none yet."""
    ranked = [
        (match.score, tool.start_ns, -tool.processes, -position, tool, match)
        for position, tool in enumerate(tools)
        for match in [match_arguments(process, tool)]
    ]
    return max(ranked, key=lambda item: item[:4])[4:]


def _descends(session: SessionState, process: ProcessState, pid: int) -> bool:
    ancestor = session.processes.get(process.parent)
    while ancestor is not None:
        if ancestor.pid == pid:
            return True
        ancestor = session.processes.get(ancestor.parent)
    return False
