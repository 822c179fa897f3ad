"""Processes of a Windows trace.

Microsoft-Windows-Kernel-Process has no command line, the classic Process class of the NT Kernel
Logger has. A process that both tell of is taken from the one that was first. Pure and bounded.
"""

from __future__ import annotations

from functools import partial

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.etw.command_line import split_command_line
from agentsight_agent.backends.etw.events import EtwEvent, MalformedEventError
from agentsight_agent.backends.items import process_record
from agentsight_agent.backends.traces.newest import Newest
from agentsight_agent.backends.traces.reader import TraceAccount, Unused
from agentsight_agent.bpf.records import Item

GUID = "22fb2cd6-0e7b-422b-a0c7-2fad1fd0e716"
CLASSIC_GUID = "3d6fa8d0-fe05-11d0-9dda-00c04fd7ba7c"

_START, _END, _RUNNING = "start", "end", "running"
# Event ids of the provider, opcodes of the class.
_KINDS = {1: _START, 2: _END, 15: _RUNNING}
_CLASSIC_KINDS = {1: _START, 2: _END, 3: _RUNNING}
_MAX_PROCESSES = 65_536


class Processes:
    """The processes that live."""

    def __init__(self, account: TraceAccount) -> None:
        forgotten = partial(account.forget, "process, more than are followed")
        # When they began.
        self._live: Newest[int, int] = Newest(_MAX_PROCESSES, forgotten)

    def take(self, event: EtwEvent, told: pb.Event) -> list[Item] | Unused:
        """Return the items of an event; `told` has no body. Raises MalformedEventError."""
        is_classic = event.guid == CLASSIC_GUID
        kind = (_CLASSIC_KINDS if is_classic else _KINDS).get(
            event.opcode if is_classic else event.ident
        )
        if kind is None:
            return Unused("event of processes without an event of ours")
        pid = event.needed("ProcessId" if is_classic else "ProcessID")
        if pid >= 1 << 32:
            raise MalformedEventError("ProcessId")
        told.pid = told.tid = pid
        if kind == _END:
            return self._ended(event, told)
        if pid in self._live:
            return Unused("process that is known")
        self._live.put(pid, told.boot_ns)
        told.process_executed.already_running = kind == _RUNNING
        return [_started(event, told)]

    def _ended(self, event: EtwEvent, told: pb.Event) -> list[Item] | Unused:
        begin_ns = self._live.pop(told.pid, None)
        if begin_ns is None:
            return Unused("process that is not known")
        done = told.process_exited
        done.duration_ns = max(0, told.boot_ns - begin_ns)
        status = event.number("ExitCode")
        status = event.number("ExitStatus") if status is None else status
        done.exit_code = (status or 0) & 0xFFFFFFFF
        done.status_unknown = status is None
        return [process_record("exited", told)]


def _started(event: EtwEvent, told: pb.Event) -> Item:
    image = event.text("ImageName") or event.text("ImageFileName")
    parent = event.number("ParentProcessID")
    parent = event.number("ParentId") if parent is None else parent
    argv = split_command_line(event.text("CommandLine"))
    done = told.process_executed
    done.parent_pid = (parent or 0) & 0xFFFFFFFF
    done.start_boot_ns = told.boot_ns
    done.argv[:] = argv or [image]
    done.comm = image.rpartition("\\")[2]
    # The class has the name only; the command line often begins with the path.
    done.exe = argv[0] if argv and "\\" in argv[0] and "\\" not in image else image
    return process_record("executed", told)
