"""One session that is followed without a kernel's help: a process and all its descendants.

Membership comes from the records alone, so it works for traces of other machines too. Pure: must
not ask the system about processes.
"""

from __future__ import annotations

from agentsight_core.ids import session_id
from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.bpf.records import ProcessRecord
from agentsight_agent.enrich.agent_names import agent_name
from agentsight_agent.enrich.boot import Node
from agentsight_agent.enrich.procfs import Process
from agentsight_agent.sessions.events import SessionEvents
from agentsight_agent.sessions.rules import SessionRule
from agentsight_agent.sessions.session import Session


class ProcessTree:
    """The session of `root_pid`; it begins when that process executes its program."""

    def __init__(self, node: Node, root_pid: int, rule: SessionRule, wall_offset_ns: int) -> None:
        self._events = SessionEvents(node, wall_offset_ns)
        self._node = node
        self._root_pid = root_pid
        self._rule = rule
        self._session: Session | None = None
        self._live: set[int] = set()

    @property
    def live(self) -> frozenset[int]:
        """The members that run."""
        return frozenset(self._live)

    def set_wall_offset(self, wall_offset_ns: int) -> None:
        """Take another difference of Unix time and boot time."""
        self._events.wall_offset_ns = wall_offset_ns

    def session_of(self, pid: int) -> int:
        """Return the session of a process, 0 if it is in none."""
        return self._session.id if self._session and pid in self._live else 0

    def promote(self, pid: int, boot_ns: int) -> list[pb.Event]:
        """Return nothing: there is one session only."""
        del pid, boot_ns
        return []

    def on_process(self, record: ProcessRecord) -> list[pb.Event]:
        """Take a record; return the events to publish. Those of strangers give none."""
        event = pb.Event.FromString(record.event)
        match record.kind:
            case "forked":
                parent = event.process_forked.parent_pid
                return self._admit(event) if parent in self._live else []
            case "executed" if event.pid == self._root_pid and self._session is None:
                return self._begin(event)
            case "executed":
                known = event.pid in self._live
                parent = event.process_executed.parent_pid
                return self._admit(event) if known or parent in self._live else []
            case "exited":
                return self._exited(event)

    def stop(self, boot_ns: int) -> list[pb.Event]:
        """End the session because the watcher stops."""
        if self._session is None or not self._live:
            return []
        self._live.clear()
        return [self._events.ended(self._session, boot_ns, watcher_stopped=True)]

    def _begin(self, event: pb.Event) -> list[pb.Event]:
        done = event.process_executed
        root = Process(
            pid=event.pid,
            start_boot_ns=done.start_boot_ns,
            ppid=done.parent_pid,
            exe=done.exe,
            argv=tuple(done.argv),
            cwd=done.cwd,
            uid=done.uid,
            comm=done.comm,
        )
        ident = session_id(self._node.cluster, self._node.boot_id, root.pid, root.start_boot_ns)
        name = agent_name(root.exe, root.argv, root.comm)
        self._session = Session(ident, root.pid, self._rule.agent_name or name)
        origin = pb.SESSION_ORIGIN_RULE
        started = self._events.started(self._session, root, event.boot_ns, origin, self._rule.name)
        return [started, *self._admit(event)]

    def _admit(self, event: pb.Event) -> list[pb.Event]:
        assert self._session is not None  # members come after the root
        self._live.add(event.pid)
        event.session = self._session.id
        return [event]

    def _exited(self, event: pb.Event) -> list[pb.Event]:
        if event.pid not in self._live or self._session is None:
            return []
        event.session = self._session.id
        self._live.discard(event.pid)
        if event.pid == self._root_pid:
            self._session.exit_code = event.process_exited.exit_code
            self._session.exit_signal = event.process_exited.exit_signal
        ended = [] if self._live else [self._events.ended(self._session, event.boot_ns)]
        return [event, *ended]
