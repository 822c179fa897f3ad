"""Follows sessions: which process belongs to which, when one begins, when it ends.

The kernel tracks what it is told to and the children of those; this keeps the account and writes
the events. The clock is the caller's. Must not read traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agentsight_core.ids import session_id
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Stage

from agentsight_agent.enrich import procfs
from agentsight_agent.enrich.agent_names import agent_name
from agentsight_agent.enrich.boot import Node
from agentsight_agent.enrich.container_state import Container, Containers
from agentsight_agent.enrich.mounts import read_places
from agentsight_agent.enrich.processes import ProcessTable
from agentsight_agent.enrich.procfs import Process
from agentsight_agent.sessions.events import SessionEvents
from agentsight_agent.sessions.filters import EXCLUDED, Candidate, Filters
from agentsight_agent.sessions.rules import RuleMatcher, SessionRule
from agentsight_agent.sessions.session import KernelRecord, Session, TrackingKernel

# A child forked after its parent was tracked inherits; a tree that still grows after so many scans
# grows by such children only.
_MAX_SCANS = 16


class SessionTracker:
    """All sessions of this node."""

    def __init__(
        self,
        kernel: TrackingKernel,
        node: Node,
        rules: Iterable[SessionRule] = (),
        *,
        wall_offset_ns: int,
        proc: str = procfs.PROC,
        filters: Filters | None = None,
        containers: Containers | None = None,
        judged: Stage | None = None,
        before_end: Callable[[Session, int], list[pb.Event]] | None = None,
    ) -> None:
        """`judged` counts the processes that filters were asked about.

        `before_end` says at a session's end what else is to be told of it.
        """
        self._events = SessionEvents(node, wall_offset_ns)
        self._kernel = kernel
        self._node = node
        self._rules = [RuleMatcher(rule) for rule in rules]
        self._proc = proc
        self._filters = filters or Filters()
        self._containers = containers or Containers(proc=proc)
        self._judged = judged or Stage("filters", "processes")
        self._before_end = before_end
        self._processes = ProcessTable(proc)
        self._sessions: dict[int, Session] = {}
        # Sessions that begin when their root executes its program.
        self._expected: dict[int, SessionRule] = {}

    def set_wall_offset(self, wall_offset_ns: int) -> None:
        """Take another difference of Unix time and boot time: somebody has set the clock."""
        self._events.wall_offset_ns = wall_offset_ns

    def set_rules(self, rules: Iterable[SessionRule]) -> None:
        """Begin sessions by other rules from now on; those that run go on.

        Raises ConfigError, with nothing changed.
        """
        self._rules = [RuleMatcher(rule) for rule in rules]

    def set_filters(self, filters: Filters, boot_ns: int) -> list[pb.Event]:
        """Want other processes from now on; return the ends of sessions that are not wanted.

        Processes that were not wanted and now are stay as they are; what starts later is recorded.
        """
        self._filters = filters
        events: list[pb.Event] = []
        for session in self.sessions:
            root = self._processes.get(session.root_pid)
            if root is not None and self._refuses(root, session.agent_name, session.id):
                events += self._let_go(session, boot_ns)
        for process in self._processes:
            self._hush(process)
        return events

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The sessions with a process alive."""
        return tuple(self._sessions.values())

    @property
    def is_watching(self) -> bool:
        """True while there is a session, or one is about to begin."""
        return bool(self._sessions or self._expected)

    def session_of(self, pid: int) -> int:
        """Return the session of a process, 0 if it is in none or nothing of it is wanted."""
        process = self._processes.get(pid)
        return process.session if process and not process.quiet else 0

    def process(self, pid: int) -> Process | None:
        """Return what is known of a process of a session."""
        return self._processes.get(pid)

    def promote(self, pid: int, boot_ns: int) -> list[pb.Event]:
        """Begin a session with `pid`, which talked to an LLM at `boot_ns`, as its root.

        Returns the events to publish: SessionStarted, and a ProcessExecuted for every process that
        is running already. Nothing if the process is in a session.
        """
        if pid in self._processes:
            return []
        origin = pb.SESSION_ORIGIN_PROMOTION
        return self._begin(self._processes.look_up(pid, boot_ns), boot_ns, origin)

    def begin_at_exec(self, pid: int, boot_ns: int, rule: SessionRule) -> None:
        """Watch `pid` from now on; its session begins, by `rule`, when it executes its program."""
        process = self._processes.look_up(pid, boot_ns)
        ident = self._ident(process)
        self._expected[ident] = rule
        self._kernel.track(pid, ident)

    def begin_running(self, boot_ns: int) -> list[pb.Event]:
        """Begin the sessions that the rules ask for among the processes that run already."""
        if not self._rules:
            return []
        found = (procfs.read_process(pid, self._proc) for pid in procfs.pids(self._proc))
        running = [process for process in found if process is not None]
        events: list[pb.Event] = []
        # Parents first, so that their children are found as members.
        for process in sorted(running, key=lambda p: (p.start_boot_ns, p.pid)):
            rule = self._match(process)
            if rule is not None and process.pid not in self._processes:
                events += self._begin(process, boot_ns, pb.SESSION_ORIGIN_RULE, rule=rule)
        return events

    def on_process(self, record: KernelRecord) -> list[pb.Event]:
        """Take a record of the kernel; return the events to publish."""
        event = pb.Event.FromString(record.event)
        match event.WhichOneof("body"):
            case "process_forked":
                return self._on_forked(event)
            case "process_executed":
                return self._on_executed(event)
            case "process_exited":
                return self._on_exited(event)
        raise ValueError(f"{event.WhichOneof('body')} is no record of a process")

    def note_running(self, pid: int) -> None:
        """Remember a process that nothing was told of: it may be gone when it becomes a session."""
        self._processes.note_running(pid)

    def sweep(self, boot_ns: int) -> list[pb.Event]:
        """Let go of processes whose exit record was lost; call it every few seconds.

        A process must be missing twice, as its record may still be on the way.
        """
        events: list[pb.Event] = []
        for session in self.sessions:
            gone = {pid for pid in session.live if not self._is_running(pid)}
            for pid in gone & session.missing:
                self._kernel.untrack(pid)
                self._processes.remove(pid)
                session.live.discard(pid)
            session.missing = gone & session.live
            events += self._end_if_empty(session, boot_ns)
        return events

    def stop(self, boot_ns: int) -> list[pb.Event]:
        """End all sessions because the watcher stops."""
        return [event for session in self.sessions for event in self._let_go(session, boot_ns)]

    def _let_go(self, session: Session, boot_ns: int) -> list[pb.Event]:
        """Watch a session no longer."""
        for pid in session.live:
            self._kernel.untrack(pid)
            self._processes.remove(pid)
        del self._sessions[session.id]
        return self._ends(session, boot_ns, watcher_stopped=True)

    # ---- what filters say ----

    def _refuses(self, process: Process, name: str, ident: int) -> str:
        """Return why a process may not be the root of a session, "" if it may; counts it."""
        if self._filters.is_empty:
            return ""
        reason = self._filters.refuses(self._candidate(process, name, ident))
        self._count(reason)
        return reason

    def _hush(self, process: Process) -> None:
        """Have the kernel record no more of a member than its end, if a filter wants it so."""
        session = self._sessions.get(process.session)
        if process.quiet or self._filters.is_empty or session is None:
            return
        candidate = self._candidate(process, session.agent_name, session.id)
        process.quiet = self._filters.excludes(candidate)
        self._count(EXCLUDED if process.quiet else "")
        if process.quiet:
            self._kernel.track(process.pid, process.session, quiet=True)

    def _candidate(self, process: Process, name: str, ident: int) -> Candidate:
        return Candidate(process, self._container(process), name, ident)

    def _container(self, process: Process) -> Container:
        if not process.container_id:
            process.container_id = procfs.read_container_id(process.pid, self._proc) or ""
        return self._containers.of(process.pid, process.container_id)

    def _count(self, reason: str) -> None:
        self._judged.received += 1
        if reason:
            self._judged.filter(reason)
        else:
            self._judged.emitted += 1

    # ---- how sessions begin ----

    def _begin(
        self,
        root: Process,
        boot_ns: int,
        origin: pb.SessionOrigin,
        *,
        rule: SessionRule | None = None,
        executed: pb.Event | None = None,
    ) -> list[pb.Event]:
        """Begin a session; `executed` is the exec that made a rule match, if that was it."""
        ident = (executed and executed.session) or self._ident(root)
        name = (rule and rule.agent_name) or agent_name(root.exe, root.argv, root.comm)
        if self._refuses(root, name, ident):
            self._kernel.untrack(root.pid)
            self._kernel.mute_process(root.pid)
            return []
        session = self._sessions[ident] = Session(ident, root.pid, name)
        rule_name = rule.name if rule else ""
        container = self._container(root)
        events = [self._events.started(session, root, boot_ns, origin, rule_name, container)]
        self._admit(session, root)
        events += self._place(session, root, boot_ns)
        events.append(executed or self._events.already_running(root, boot_ns))
        if executed is not None:
            executed.session = ident
        events += self._admit_children(session, boot_ns)
        return events

    def _ident(self, root: Process) -> int:
        return session_id(self._node.cluster, self._node.boot_id, root.pid, root.start_boot_ns)

    def _admit(self, session: Session, process: Process) -> None:
        """Make `process` a member and have the kernel track it."""
        self._processes.admit(process, session.id)
        session.live.add(process.pid)
        self._kernel.track(process.pid, session.id)
        if process.pid != session.root_pid:
            self._hush(process)
        if not self._is_running(process.pid):
            # It ended before it was tracked: the entry would make a stranger with its pid a member.
            self._kernel.untrack(process.pid)

    def _admit_children(self, session: Session, boot_ns: int) -> list[pb.Event]:
        """Admit all that the root has started before it was tracked, until a scan finds no more."""
        events: list[pb.Event] = []
        seen = {session.root_pid}
        for _ in range(_MAX_SCANS):
            scan = procfs.descendants(session.root_pid, self._proc)
            found = [pid for pid in scan if pid not in seen]
            if not found:
                break
            for pid in found:
                seen.add(pid)
                process = procfs.read_process(pid, self._proc)
                if process is not None and pid not in self._processes:
                    self._admit(session, process)
                    events += self._place(session, process, boot_ns)
                    events.append(self._events.already_running(process, boot_ns))
        return events

    def _place(self, session: Session, process: Process, boot_ns: int) -> list[pb.Event]:
        """Say once of each container of a session where its files are on the host."""
        if not process.container_id or process.container_id in session.placed:
            return []
        places = read_places(process.pid, self._proc)
        if not places:
            return []  # it is gone; another process will tell
        session.placed.add(process.container_id)
        return [self._events.mounts(process, places, boot_ns)]

    # ---- what the kernel tells ----

    def _on_forked(self, event: pb.Event) -> list[pb.Event]:
        session = self._sessions.get(event.session)
        if session is None:
            return [event] if event.session else []
        known = self._processes.get(event.pid)
        start_ns = event.process_forked.start_boot_ns
        if known is not None and procfs.same_start(known.start_boot_ns, start_ns):
            # Found in /proc before its record came: it has been published as already running.
            known.start_boot_ns = start_ns
            return []
        self._processes.admit(self._processes.forked(event), session.id)
        session.live.add(event.pid)
        return [event]

    def _on_executed(self, event: pb.Event) -> list[pb.Event]:
        known = self._processes.get(event.pid)
        start_ns = event.process_executed.start_boot_ns
        # The record may be older than the session; or the pid now belongs to somebody else.
        same = known is not None and procfs.same_start(known.start_boot_ns, start_ns)
        ident = event.session or (known.session if known and same else 0)
        session = self._sessions.get(ident)
        if session is None and event.session in self._expected:
            return self._begin_by_exec(event, self._expected.pop(event.session))
        if session is None:
            return [event] if event.session else self._on_stranger(event)
        event.session = ident
        process = self._processes.executed(event)
        process.quiet = known is not None and same and known.quiet
        self._processes.admit(process, ident)
        session.live.add(event.pid)
        self._hush(process)
        return [*self._place(session, process, event.boot_ns), event]

    def _on_stranger(self, event: pb.Event) -> list[pb.Event]:
        process = self._processes.note_stranger(event)
        if not self._rules:
            return []
        if any(rule.needs_container for rule in self._rules):
            process.container_id = procfs.read_container_id(event.pid, self._proc) or ""
        rule = self._match(process)
        if rule is None:
            return []
        self._complete(event)
        return self._begin_by_exec(event, rule)

    def _begin_by_exec(self, event: pb.Event, rule: SessionRule) -> list[pb.Event]:
        process = self._processes.executed(event)
        origin = pb.SESSION_ORIGIN_RULE
        return self._begin(process, event.boot_ns, origin, rule=rule, executed=event)

    def _complete(self, event: pb.Event) -> None:
        """Read the arguments that the kernel shortens for processes that it does not track."""
        if event.process_executed.argv_truncated:
            argv = procfs.read_argv(event.pid, self._proc)
            if argv:
                event.process_executed.argv[:] = argv
                event.process_executed.argv_truncated = False

    def _on_exited(self, event: pb.Event) -> list[pb.Event]:
        process = self._processes.remove(event.pid)
        ident = event.session or (process.session if process else 0)
        session = self._sessions.get(ident)
        if session is None:
            # Without an exec the session that was expected never began.
            began = event.session and self._expected.pop(event.session, None) is None
            return [event] if began else []
        event.session = ident
        session.live.discard(event.pid)
        if event.pid == session.root_pid:
            session.exit_code = event.process_exited.exit_code
            session.exit_signal = event.process_exited.exit_signal
        return [event, *self._end_if_empty(session, event.boot_ns)]

    # ---- how they end ----

    def _end_if_empty(self, session: Session, boot_ns: int) -> list[pb.Event]:
        if session.live:
            return []
        del self._sessions[session.id]
        return self._ends(session, boot_ns)

    def _ends(
        self, session: Session, boot_ns: int, *, watcher_stopped: bool = False
    ) -> list[pb.Event]:
        before = self._before_end(session, boot_ns) if self._before_end else []
        return [*before, self._events.ended(session, boot_ns, watcher_stopped=watcher_stopped)]

    def _is_running(self, pid: int) -> bool:
        process = self._processes.get(pid)
        return process is not None and procfs.is_running(pid, process.start_boot_ns, self._proc)

    def _match(self, process: Process) -> SessionRule | None:
        """Return the first rule that matches."""
        return next((m.rule for m in self._rules if m.matches(process)), None)
