"""The table of processes: those of sessions, and lately executed ones that may become some.

Filled from the kernel's records, completed from /proc. Must not decide what a session is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.enrich import procfs
from agentsight_agent.enrich.procfs import Process

# Executions outside of sessions that are remembered, so that a process which is gone before its
# bytes are read (curl) can still be named. The oldest are forgotten; /proc is asked instead.
_MAX_STRANGERS = 1024


class ProcessTable:
    """What is known of processes, by pid."""

    def __init__(self, proc: str = procfs.PROC) -> None:
        self._proc = proc
        self._members: dict[int, Process] = {}
        self._strangers: OrderedDict[int, Process] = OrderedDict()

    def __contains__(self, pid: int) -> bool:
        return pid in self._members

    def __iter__(self) -> Iterator[Process]:
        """Iterate over the processes of sessions."""
        return iter(tuple(self._members.values()))

    def get(self, pid: int) -> Process | None:
        """Return process `pid` if it belongs to a session."""
        return self._members.get(pid)

    def look_up(self, pid: int, boot_ns: int) -> Process:
        """Return all that can be known of a process outside of sessions, gone or not.

        `boot_ns`: a time at which it was alive, its start if nothing better is known.
        """
        running = procfs.read_process(pid, self._proc)
        noted = self._strangers.get(pid)
        if running is None:
            return noted or Process(pid, boot_ns)
        if noted is not None and procfs.same_start(running.start_boot_ns, noted.start_boot_ns):
            running.start_boot_ns = noted.start_boot_ns  # exact
        return running

    def admit(self, process: Process, session: int) -> None:
        """Make `process` a member of `session`."""
        process.session = session
        self._members[process.pid] = process
        self._strangers.pop(process.pid, None)

    def forked(self, event: pb.Event) -> Process:
        """Return what a child of a member is right after its fork: its parent's twin."""
        body = event.process_forked
        parent = self._members.get(body.parent_pid)
        twin = parent or Process(event.pid, body.start_boot_ns)
        return replace(twin, pid=event.pid, ppid=body.parent_pid, start_boot_ns=body.start_boot_ns)

    def executed(self, event: pb.Event) -> Process:
        """Return the process after an exec; fills in `event` what the kernel could not say."""
        body = event.process_executed
        before = self._members.get(event.pid)
        if not body.cwd:
            body.cwd = procfs.read_cwd(event.pid, self._proc)
        if not body.exe:
            body.exe = procfs.read_link(f"{self._proc}/{event.pid}/exe")
        if not body.container_id:
            # None: it is gone already; a program stays in the container of its process.
            known = before.container_id if before else ""
            found = procfs.read_container_id(event.pid, self._proc)
            body.container_id = known if found is None else found
        return _from_executed(event)

    def note_stranger(self, event: pb.Event) -> Process:
        """Remember an exec outside of sessions; returns the process."""
        process = _from_executed(event)
        self._note(process)
        return process

    def note_running(self, pid: int) -> None:
        """Remember a process outside of sessions whose exec was not told, while it is alive."""
        process = None if pid in self._members else procfs.read_process(pid, self._proc)
        if process is not None:
            self._note(process)

    def _note(self, process: Process) -> None:
        self._strangers[process.pid] = process
        self._strangers.move_to_end(process.pid)
        while len(self._strangers) > _MAX_STRANGERS:
            self._strangers.popitem(last=False)

    def remove(self, pid: int) -> Process | None:
        """Forget process `pid`; returns it if it belonged to a session."""
        self._strangers.pop(pid, None)
        return self._members.pop(pid, None)


def _from_executed(event: pb.Event) -> Process:
    body = event.process_executed
    return Process(
        pid=event.pid,
        start_boot_ns=body.start_boot_ns,
        ppid=body.parent_pid,
        exe=body.exe,
        argv=tuple(body.argv),
        cwd=body.cwd,
        uid=body.uid,
        comm=body.comm,
        container_id=body.container_id,
        session=event.session,
    )
