"""The process table of a session: who started whom, with what, until when.

Must not decide what caused a process (that is `causes`) nor give it a span (`process_spans`).
"""

from __future__ import annotations

from collections.abc import Callable

from agentsight_core.pb import events_pb2 as pb

from agentsight_aggregator.analyzers import (
    connection_effects,
    file_effects,
    gpu_use,
    host_paths,
    marks,
    network_totals,
    peer_names,
)
from agentsight_aggregator.analyzers.findings import Output, span_id
from agentsight_aggregator.analyzers.state import ProcessState, SessionState

# /proc gives start times in ticks of 10 ms, the kernel side in ns.
_SAME_START_NS = 20_000_000
_MAX_EARLIER = 16


class Processes:
    """Takes the process, file and network events of sessions into their process tables."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._limit = output.settings.max_effects
        self.steps: dict[str, Callable[[SessionState, pb.Event], None]] = {
            "process_forked": self._forked,
            "process_executed": self._executed,
            "process_exited": self._exited,
            "process_output": self._wrote,
            "shell_input": self._typed,
            "file_opened": self._file_opened,
            "file_closed": self._file_closed,
            "file_changed": self._file_changed,
            "net_connected": self._connected,
            "net_closed": self._disconnected,
            "net_sampled": self._sampled,
            "signal_sent": self._signal_sent,
            "limit_hit": self._limit_hit,
            "oom_killed": self._oom_killed,
            "gpu_used": self._gpu_used,
            "gpu_sampled": self._gpu_sampled,
            "dns_answered": self._answered,
            "capture_limited": self._limited,
            "container_mounts": self._mounted,
        }

    def begin_root(self, session: SessionState, event: pb.Event) -> None:
        """Enter the root process of a session that has just started."""
        started = event.session_started
        if not started.root_pid:
            return
        root = self.find(session, started.root_pid) or self._enter(
            session, event, started.root_pid, 0, started.root_start_boot_ns
        )
        root.exe = root.exe or started.exe
        root.argv = root.argv or tuple(started.argv)
        root.cwd = root.cwd or started.cwd
        root.uid = started.uid
        root.container_id = started.container_id

    def find(self, session: SessionState, pid: int) -> ProcessState | None:
        """Return the newest process with `pid`."""
        serial = session.by_pid.get(pid)
        return session.processes.get(serial) if serial is not None else None

    def forget(self, session: SessionState, serial: int) -> None:
        """Drop a process whose span is written, and ancestors that were kept for it alone."""
        while serial:
            process = session.processes.get(serial)
            if process is None or not process.written or process.children:
                return
            del session.processes[serial]
            if session.by_pid.get(process.pid) == serial:
                del session.by_pid[process.pid]
            serial = process.parent
            if serial in session.processes:
                session.processes[serial].children -= 1

    def _forked(self, session: SessionState, event: pb.Event) -> None:
        fork = event.process_forked
        known = self.find(session, event.pid)
        if known is not None and _same(known, fork.start_boot_ns):
            self._learn_parent(session, known, fork.parent_pid)
            return
        process = self._enter(session, event, event.pid, fork.parent_pid, fork.start_boot_ns)
        parent = session.processes.get(process.parent)
        if parent is not None:
            process.exe, process.argv, process.comm = parent.exe, parent.argv, parent.comm
            process.cwd, process.uid = parent.cwd, parent.uid
            process.container_id = parent.container_id

    def _executed(self, session: SessionState, event: pb.Event) -> None:
        done = event.process_executed
        process = self.find(session, event.pid)
        if process is None or not _same(process, done.start_boot_ns):
            process = self._enter(session, event, event.pid, done.parent_pid, done.start_boot_ns)
        elif process.executed and len(process.earlier) < _MAX_EARLIER:
            process.earlier.append((event.wall_ns, process.argv))
        self._learn_parent(session, process, done.parent_pid)
        process.executed = True
        process.argv, process.argv_truncated = tuple(done.argv), done.argv_truncated
        process.exe, process.cwd, process.comm = done.exe, done.cwd or process.cwd, done.comm
        process.uid, process.container_id = done.uid, done.container_id or process.container_id
        process.already_running = done.already_running

    def _exited(self, session: SessionState, event: pb.Event) -> None:
        process = self.find(session, event.pid)
        if process is None or process.exited:
            self._output.meter.add("agentsight.ignored", 1, reason="exit_of_unknown_process")
            return
        done = event.process_exited
        process.exited, process.exit_ns = True, event.wall_ns
        process.exit_code = -1 if done.status_unknown else done.exit_code
        process.exit_signal = done.exit_signal

    def _typed(self, session: SessionState, event: pb.Event) -> None:
        process = self._owner(session, event)
        if len(process.typed) < self._limit:
            process.typed.append((event.wall_ns, event.shell_input.line))
        else:
            process.omitted["shell_line"] = process.omitted.get("shell_line", 0) + 1

    def _wrote(self, session: SessionState, event: pb.Event) -> None:
        process = self._owner(session, event)
        fd, data = event.process_output.fd, event.process_output.data
        kept = process.output.get(fd, b"")
        process.output[fd] = kept + data[: self._output.settings.max_content_bytes - len(kept)]
        process.output_bytes[fd] = process.output_bytes.get(fd, 0) + len(data)

    def _file_opened(self, session: SessionState, event: pb.Event) -> None:
        opened = event.file_opened
        process = self._owner(session, event)
        places = session.places.get(process.container_id, ())
        file_effects.take_file_opened(process, event, self._limit, places)
        if file_effects.found_open(opened):
            return
        session.totals.files += opened.result >= 0
        self._count(session, "agentsight.files", "ok" if opened.result >= 0 else "error")

    def _mounted(self, session: SessionState, event: pb.Event) -> None:
        mounts = event.container_mounts
        session.places[mounts.container_id] = host_paths.take_places(mounts)

    def _file_closed(self, session: SessionState, event: pb.Event) -> None:
        file_effects.take_file_closed(self._owner(session, event), event, self._limit)

    def _file_changed(self, session: SessionState, event: pb.Event) -> None:
        process = self._owner(session, event)
        places = session.places.get(process.container_id, ())
        effect = file_effects.take_file_changed(process, event, self._limit, places)
        labels = (
            ("agentsight.file.operation", effect.operation),
            ("agentsight.result", "error" if effect.error else "ok"),
            ("gen_ai.agent.name", session.agent_name),
        )
        self._output.meter.add_labelled("agentsight.file.changes", 1, labels)

    def _connected(self, session: SessionState, event: pb.Event) -> None:
        process = self._owner(session, event)
        connection_effects.take_connected(process, event, self._limit, session.names)
        session.totals.connections += 1
        failed = event.net_connected.error != 0
        session.network.failed += failed
        self._count(session, "agentsight.connections", "error" if failed else "ok")

    def _sampled(self, session: SessionState, event: pb.Event) -> None:
        connection_effects.take_sampled(self._owner(session, event), event)
        left = network_totals.take_progress(session.network, event.net_sampled, closed=False)
        if left:
            self._output.meter.add("agentsight.ignored", left, reason="end_of_old_connection")

    def _disconnected(self, session: SessionState, event: pb.Event) -> None:
        connection_effects.take_disconnected(self._owner(session, event), event, self._limit)
        done = event.net_closed
        network_totals.take_progress(session.network, done, closed=True)
        self._add(session, "agentsight.connection.bytes", done.sent_bytes, "sent")
        self._add(session, "agentsight.connection.bytes", done.received_bytes, "received")
        self._add(session, "agentsight.connection.segments", done.sent_segments, "sent")
        self._add(session, "agentsight.connection.segments", done.retransmitted_segments, "again")
        self._add(session, "agentsight.connection.segments", done.lost_segments, "lost")

    def _answered(self, session: SessionState, event: pb.Event) -> None:
        forgotten = peer_names.take_answer(session.names, event.dns_answered.message)
        if forgotten:
            self._output.meter.add("agentsight.ignored", forgotten, reason="old_name_of_peer")

    def _signal_sent(self, session: SessionState, event: pb.Event) -> None:
        name = marks.take_signal(self._owner(session, event), event, self._limit)
        self._add(session, "agentsight.signals", 1, name)

    def _limit_hit(self, session: SessionState, event: pb.Event) -> None:
        error, times = marks.take_limit(self._owner(session, event), event, self._limit)
        self._add(session, "agentsight.limits_hit", times, error)

    def _limited(self, session: SessionState, event: pb.Event) -> None:
        left_out = marks.take_capture_limited(self._owner(session, event), event, self._limit)
        for reason, count in left_out.items():
            self._add(session, "agentsight.capture.left_out", count, reason)

    def _oom_killed(self, session: SessionState, event: pb.Event) -> None:
        marks.take_oom_kill(self._owner(session, event), event, self._limit)
        self._add(session, "agentsight.oom_kills", 1, "killed")

    def _gpu_used(self, session: SessionState, event: pb.Event) -> None:
        grown = gpu_use.take_gpu_used(self._owner(session, event), event)
        for name, amount in grown.items():
            self._add(session, "agentsight.gpu.use", amount, name)

    def _gpu_sampled(self, session: SessionState, event: pb.Event) -> None:
        busy_ns = gpu_use.take_gpu_sampled(self._owner(session, event), event)
        self._add(session, "agentsight.gpu.use", busy_ns, "busy_ns")

    def _add(self, session: SessionState, name: str, amount: int, kind: str) -> None:
        if amount:
            labels = (("agentsight.kind", kind), ("gen_ai.agent.name", session.agent_name))
            self._output.meter.add_labelled(name, amount, labels)

    def _learn_parent(self, session: SessionState, process: ProcessState, parent_pid: int) -> None:
        """Fill in the parent of a process that was entered before its beginning was told."""
        if process.parent_pid or not parent_pid:
            return
        process.parent_pid = parent_pid
        parent = session.by_pid.get(parent_pid, 0)
        if parent and session.processes[parent] is not process:
            process.parent = parent
            session.processes[parent].children += 1

    def _count(self, session: SessionState, name: str, result: str) -> None:
        labels = (("agentsight.result", result), ("gen_ai.agent.name", session.agent_name))
        self._output.meter.add_labelled(name, 1, labels)

    def _owner(self, session: SessionState, event: pb.Event) -> ProcessState:
        """Return the process of `event`; one whose beginning was never seen is entered now."""
        found = self.find(session, event.pid)
        return found or self._enter(session, event, event.pid, 0, 0)

    def _enter(
        self, session: SessionState, event: pb.Event, pid: int, parent_pid: int, start_boot_ns: int
    ) -> ProcessState:
        before = self.find(session, pid)
        if before is not None and not before.exited:
            # The number was given to a new process, so the end of the old one was missed.
            before.exited, before.exit_ns, before.exit_code = True, event.wall_ns, -1
        parent = session.by_pid.get(parent_pid, 0) if parent_pid else 0
        guessed = not start_boot_ns
        start_boot_ns = start_boot_ns or event.boot_ns
        process = ProcessState(
            pid=pid,
            parent=parent,
            parent_pid=parent_pid,
            start_boot_ns=start_boot_ns,
            start_ns=event.wall_ns - event.boot_ns + start_boot_ns,
            span_id=span_id(session.id, "process", pid, start_boot_ns),
            guessed=guessed,
        )
        serial = session.next_serial
        session.next_serial += 1
        session.processes[serial] = process
        session.by_pid[pid] = serial
        session.undecided.append(serial)
        if parent:
            session.processes[parent].children += 1
        session.totals.processes += 1
        labels = (("gen_ai.agent.name", session.agent_name),)
        self._output.meter.add_labelled("agentsight.processes", 1, labels)
        return process


def _same(process: ProcessState, start_boot_ns: int) -> bool:
    """Tell whether a record with this start time is about `process`."""
    if process.exited:
        return False
    if process.guessed or not start_boot_ns:
        return True
    return abs(process.start_boot_ns - start_boot_ns) < _SAME_START_NS
