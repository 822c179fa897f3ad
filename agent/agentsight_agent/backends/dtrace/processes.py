"""What is known of the processes of a trace: when they began, their descriptors, their directory.

Pure and bounded. Must not build items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from agentsight_agent.backends.traces.newest import Newest
from agentsight_agent.backends.traces.reader import TraceAccount

# Processes, and descriptors of one, of which more is not kept: the oldest go.
_MAX_PROCESSES = 65_536
_MAX_DESCRIPTORS = 65_536
# "from the working directory" (AT_FDCWD of macOS)
AT_CWD = -2


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A descriptor of a file."""

    path: str
    opened_ns: int


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A descriptor of a socket that was connected; `number` names it in the trace."""

    number: int
    address: str
    port: int
    opened_ns: int


@dataclass(slots=True)
class Process:
    """One process, as far as the trace has told."""

    start_ns: int
    descriptors: Newest[int, OpenFile | OpenSocket]
    # "" = it was not told yet
    cwd: str = ""
    # The last signal that was sent to it.
    signal: int = 0

    def directory(self, fd: int) -> str:
        """Return where a relative path of a call begins, "" if that is not known."""
        if fd == AT_CWD:
            return self.cwd
        opened = self.descriptors.get(fd)
        return opened.path if isinstance(opened, OpenFile) else ""


class Processes:
    """The processes that live."""

    def __init__(self, account: TraceAccount) -> None:
        self._forgotten = partial(account.forget, "descriptor, more than are followed")
        forgotten = partial(account.forget, "process, more than are followed")
        self._live: Newest[int, Process] = Newest(_MAX_PROCESSES, forgotten)

    def find(self, pid: int, time_ns: int) -> Process:
        """Return a process; one that was not known begins at `time_ns`."""
        process = self._live.get(pid)
        if process is None:
            process = Process(time_ns, Newest(_MAX_DESCRIPTORS, self._forgotten))
            self._live.put(pid, process)
        return process

    def fork(self, parent: int, child: int, time_ns: int) -> None:
        """Note that `child` begins with what its parent has."""
        above = self.find(parent, time_ns)
        self._live.pop(child, None)
        process = self.find(child, time_ns)
        process.cwd = above.cwd
        process.descriptors.update(above.descriptors)

    def remove(self, pid: int) -> None:
        """Forget a process that has ended."""
        self._live.pop(pid, None)
