"""Processes seen by asking for them again and again: on every system, without privileges.

What lives shorter than the time between two looks is not seen, and nobody tells how a process
ended that is not ours. Must not decide who belongs to whom.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil
from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.items import process_record
from agentsight_agent.bpf.records import ProcessRecord

_SECOND_NS = 1_000_000_000
# What a process may not let us read, or no longer.
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, OSError)


@dataclass(slots=True)
class _Seen:
    process: psutil.Process
    parent: int
    start_boot_ns: int
    argv: tuple[str, ...] = ()
    exe: str = ""


class PolledProcesses:
    """The descendants of `root_pid`, as far as looks at them show."""

    def __init__(self, root_pid: int, *, wall_offset_ns: int) -> None:
        self._root_pid = root_pid
        self._offset_ns = wall_offset_ns
        self._seen: dict[int, _Seen] = {}
        # What the root runs before it executes its own program.
        self._before: tuple[str, ...] = ()

    @property
    def pids(self) -> frozenset[int]:
        """Who was there at the last look."""
        return frozenset(self._seen)

    def look(self, now_ns: int) -> list[ProcessRecord]:
        """Return what has changed since the last look; `now_ns` is boot time."""
        records: list[ProcessRecord] = []
        found = self._find()
        for pid in [pid for pid in self._seen if pid not in found]:
            records += self._gone(pid, now_ns)
        for pid, (process, parent) in found.items():
            before = self._seen.get(pid)
            if before is not None and before.process != process:  # its number was given away
                records += self._gone(pid, now_ns)
                before = None
            if before is None:
                records += self._new(process, parent, now_ns)
            if (known := self._seen.get(pid)) is not None:
                records += self._executed(known, now_ns)
        return records

    def root_began(
        self, argv: tuple[str, ...], exe: str, cwd: str, now_ns: int
    ) -> list[ProcessRecord]:
        """Take note of what the root, which still waits for a word, is going to execute."""
        process = psutil.Process(self._root_pid)
        self._before = tuple(process.cmdline())
        self._new(process, process.ppid(), now_ns)
        seen = self._seen[self._root_pid]
        seen.argv, seen.exe = argv, exe
        event = self._event(self._root_pid, now_ns)
        done = event.process_executed
        done.parent_pid, done.start_boot_ns = seen.parent, seen.start_boot_ns
        done.argv[:], done.exe, done.cwd = argv, exe, cwd
        # As the kernel names it: by the path that is executed, symbolic links not followed.
        done.comm = argv[0].rpartition("/")[2][:15]
        done.uid = process.uids().real if hasattr(process, "uids") else 0
        return [process_record("executed", event)]

    def root_ended(self, exit_status: int, now_ns: int) -> list[ProcessRecord]:
        """Note that the root has ended, with a status of `os.waitstatus_to_exitcode`."""
        root = self._seen.pop(self._root_pid, None)
        if root is None:
            return []
        event = self._event(self._root_pid, now_ns)
        event.process_exited.exit_code = max(exit_status, 0)
        event.process_exited.exit_signal = max(-exit_status, 0)
        event.process_exited.duration_ns = max(0, now_ns - root.start_boot_ns)
        return [process_record("exited", event)]

    def _find(self) -> dict[int, tuple[psutil.Process, int]]:
        """Return the root and all that descend from it or from whom it had started, by pid."""
        parents: dict[int, int] = {}
        processes: dict[int, psutil.Process] = {}
        for process in psutil.process_iter(["ppid"]):
            parents[process.pid] = process.info["ppid"]
            processes[process.pid] = process
        members = {pid for pid in (self._root_pid, *self._seen) if pid in processes}
        # An orphan has another parent now and is known already; children come after parents.
        while more := {pid for pid, parent in parents.items() if parent in members} - members:
            members |= more
        running = [pid for pid in sorted(members) if not _is_zombie(processes[pid])]
        return {pid: (processes[pid], parents[pid]) for pid in running}

    def _new(self, process: psutil.Process, parent: int, now_ns: int) -> list[ProcessRecord]:
        try:
            start_ns = int(process.create_time() * _SECOND_NS) - self._offset_ns
        except _GONE:
            return []
        seen = self._seen[process.pid] = _Seen(process, parent, start_ns)
        if process.pid == self._root_pid:
            return []
        above = self._seen.get(parent)
        if above is not None:
            # Until it executes something it is the program of its parent.
            seen.argv, seen.exe = above.argv, above.exe
        event = self._event(process.pid, min(start_ns, now_ns))
        event.process_forked.parent_pid = parent
        event.process_forked.start_boot_ns = start_ns
        return [process_record("forked", event)]

    def _executed(self, seen: _Seen, now_ns: int) -> list[ProcessRecord]:
        """Return a record if the process has another program than at the last look."""
        process = seen.process
        try:
            argv = tuple(process.cmdline())
            waits = process.pid == self._root_pid and argv == self._before
            if not argv or argv == seen.argv or waits:
                return []
            event = self._event(process.pid, now_ns)
            done = event.process_executed
            done.parent_pid, done.start_boot_ns = seen.parent, seen.start_boot_ns
            done.argv[:] = argv
            done.comm = process.name()
            done.exe = process.exe()
            done.cwd = process.cwd()
            done.uid = process.uids().real if hasattr(process, "uids") else 0
        except _GONE:
            return []
        seen.argv, seen.exe = argv, done.exe
        return [process_record("executed", event)]

    def _gone(self, pid: int, now_ns: int) -> list[ProcessRecord]:
        if pid == self._root_pid:
            return []  # who waits for it will tell how it ended
        seen = self._seen.pop(pid)
        event = self._event(pid, now_ns)
        event.process_exited.duration_ns = max(0, now_ns - seen.start_boot_ns)
        event.process_exited.status_unknown = True
        return [process_record("exited", event)]

    def _event(self, pid: int, boot_ns: int) -> pb.Event:
        return pb.Event(boot_ns=boot_ns, wall_ns=boot_ns + self._offset_ns, pid=pid, tid=pid)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except _GONE:
        return True
