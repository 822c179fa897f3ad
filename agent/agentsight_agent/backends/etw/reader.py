"""The XML of tracerpt, or of Get-WinEvent, as items of a drain.

Processes by Microsoft-Windows-Kernel-Process or the classic Process class, files by
Microsoft-Windows-Kernel-File, connections by Microsoft-Windows-Kernel-Network or the classic TcpIp
class. ETW has no plaintext of TLS. Boot times equal Unix times. Pure.
"""

from __future__ import annotations

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.etw import files, network
from agentsight_agent.backends.etw.events import (
    EtwEvent,
    MalformedEventError,
    read_event,
)
from agentsight_agent.backends.etw.header import GUIDS_OF_LOST_EVENTS, HEADER_GUID, TraceClock
from agentsight_agent.backends.etw.processes import CLASSIC_GUID, GUID, Processes
from agentsight_agent.backends.etw.splitting import EventSplitter
from agentsight_agent.backends.traces.reader import TraceAccount, Unused
from agentsight_agent.bpf.records import Item
from agentsight_agent.enrich.agent_names import agent_name, is_product

_NETWORK = {network.GUID, network.CLASSIC_GUID}
_PROCESSES = {GUID, CLASSIC_GUID}
_U32 = (1 << 32) - 1


def looks_like_etw(head: bytes) -> bool:
    """Tell whether a file that begins with `head` holds such events."""
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        head = head.replace(b"\0", b"")[2:]
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith((b"<Event", b"<?xml")) and b"<Event" in head


class EtwReader:
    """A TraceReader; a session begins with each agent that is known by name, or with `root_pid`."""

    def __init__(self, root_pid: int | None = None) -> None:
        self.account = TraceAccount()
        self.wall_offset_ns = 0
        self._root_pid = root_pid
        self._splitter = EventSplitter()
        self._clock = TraceClock()
        self._processes = Processes(self.account)
        self._files = files.Files(self.account)
        self._network = network.Network(self.account)

    def is_root(self, event: pb.Event) -> bool:
        """Say whether it is the process that was asked for, or else an agent."""
        if self._root_pid is not None:
            return event.pid == self._root_pid
        done = event.process_executed
        return is_product(agent_name(done.exe, done.argv, done.comm))

    def feed(self, data: bytes) -> list[Item]:
        """Take the next bytes of the XML."""
        return [item for element in self._splitter.feed(data) for item in self._element(element)]

    def close(self) -> list[Item]:
        """Count what never ended."""
        items = [item for element in self._splitter.close() for item in self._element(element)]
        self._files.close()
        return items

    def _element(self, element: str | None) -> list[Item]:
        event = read_event(element) if element is not None else None
        if event is None:
            self.account.lose("malformed")
            return []
        try:
            found = self._event(event)
        except (MalformedEventError, ValueError):
            self.account.lose("malformed")
            return []
        if isinstance(found, Unused):
            self.account.leave(found.reason)
            return []
        self.account.read += 1
        return found

    def _event(self, event: EtwEvent) -> list[Item] | Unused:
        if event.guid == HEADER_GUID:
            for reason, count in self._clock.take_header(event).items():
                self.account.lose(reason, count)
            return []
        if event.guid in GUIDS_OF_LOST_EVENTS:
            self.account.lose("events lost by ETW")
            return []
        time_ns = self._clock.unix_ns(event)
        told = pb.Event(
            boot_ns=time_ns, wall_ns=time_ns, pid=event.pid & _U32, tid=event.tid & _U32
        )
        if event.guid in _PROCESSES:
            return self._processes.take(event, told)
        if event.guid == files.GUID:
            return self._files.take(event, told)
        if event.guid in _NETWORK:
            return self._network.take(event, told)
        return Unused("provider that is not read")
