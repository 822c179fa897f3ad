"""Files, connections and signals of a DTrace trace as events.

Pure. Must not follow processes: that is the reader's.
"""

from __future__ import annotations

import errno
import ipaddress

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.dtrace.lines import TraceRecord
from agentsight_agent.backends.dtrace.numbers import linux_errno, linux_flags
from agentsight_agent.backends.dtrace.processes import OpenFile, OpenSocket, Processes
from agentsight_agent.backends.items import process_effect
from agentsight_agent.backends.traces.reader import Unused
from agentsight_agent.bpf.records import Item

_CHANGES = {
    "unlink": pb.FILE_OPERATION_UNLINKED,
    "unlinkat": pb.FILE_OPERATION_UNLINKED,
    "rmdir": pb.FILE_OPERATION_DIRECTORY_REMOVED,
    "mkdir": pb.FILE_OPERATION_DIRECTORY_MADE,
    "mkdirat": pb.FILE_OPERATION_DIRECTORY_MADE,
    "chmod": pb.FILE_OPERATION_MODE_CHANGED,
    "fchmodat": pb.FILE_OPERATION_MODE_CHANGED,
    "chdir": pb.FILE_OPERATION_DIRECTORY_ENTERED,
    "rename": pb.FILE_OPERATION_RENAMED,
    "renameat": pb.FILE_OPERATION_RENAMED,
    "renameatx_np": pb.FILE_OPERATION_RENAMED,
    "link": pb.FILE_OPERATION_LINK_MADE,
    "linkat": pb.FILE_OPERATION_LINK_MADE,
    "symlink": pb.FILE_OPERATION_SYMLINK_MADE,
    "symlinkat": pb.FILE_OPERATION_SYMLINK_MADE,
}
# unlinkat with AT_REMOVEDIR (<sys/fcntl.h> of XNU) removes a directory.
_AT_REMOVEDIR = 0x80
# Address families of macOS' <sys/socket.h>; the second byte of a sockaddr, behind its length.
_AF_INET, _AF_INET6 = 2, 30
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_MAX_FD = (1 << 31) - 1


class Effects:
    """Turns records into effects, and remembers what descriptors are."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._sockets = 0
        self.wall_offset_ns = 0

    def event(self, record: TraceRecord) -> pb.Event:
        """Return an event of the record's process, yet without a body."""
        wall_ns = max(record.time_ns + self.wall_offset_ns, 0)
        tid = record.tid & _U32
        return pb.Event(boot_ns=record.time_ns, wall_ns=wall_ns, pid=record.pid, tid=tid)

    def take(self, record: TraceRecord) -> list[Item] | Unused:
        """Return the items of a record, or in words why there are none."""
        match record.kind:
            case "open":
                return self._open(record)
            case "close":
                return self._close(record)
            case "change":
                return self._change(record)
            case "name":
                return self._name(record)
            case "connect":
                return self._connect(record)
            case _:
                return self._signal(record)

    def _open(self, record: TraceRecord) -> list[Item] | Unused:
        directory, flags, result, error = record.numbers
        path = _text(record.texts[0])
        process = self._processes.find(record.pid, record.time_ns)
        event = self.event(record)
        opened = event.file_opened
        opened.path, opened.flags = path, linux_flags(flags)
        opened.result = _result(result, error)
        if not path.startswith("/"):
            opened.directory = process.directory(directory)
        if opened.result >= 0:
            whole = _joined(opened.directory, path)
            process.descriptors.put(opened.result, OpenFile(whole, record.time_ns))
        return [process_effect(event)]

    def _close(self, record: TraceRecord) -> list[Item] | Unused:
        fd, read, written, reads, writes = record.numbers
        process = self._processes.find(record.pid, record.time_ns)
        opened = process.descriptors.pop(fd, None)
        if opened is None:
            return Unused("close of a descriptor whose opening was not seen")
        event = self.event(record)
        if isinstance(opened, OpenSocket):
            gone = event.net_closed
            gone.socket, gone.peer_address = opened.number, opened.address
            gone.peer_port = opened.port
            gone.sent_bytes, gone.received_bytes = written & _U64, read & _U64
            gone.duration_ns = record.time_ns - opened.opened_ns
        else:
            closed = event.file_closed
            closed.path, closed.fd = opened.path, fd
            closed.read_bytes, closed.written_bytes = read & _U64, written & _U64
            closed.reads, closed.writes = reads & _U32, writes & _U32
            closed.opened_boot_ns = opened.opened_ns
        return [process_effect(event)]

    def _begun_change(self, record: TraceRecord) -> pb.Event | None:
        """Return an event with what all changes have; None: the call is not known."""
        call, path = (_text(text) for text in record.texts[:2])
        operation = _CHANGES.get(call)
        if operation is None:
            return None
        event = self.event(record)
        event.file_changed.operation, event.file_changed.path = operation, path
        event.file_changed.result = min(_result(*record.numbers[-2:]), 0)
        return event

    def _change(self, record: TraceRecord) -> list[Item] | Unused:
        event = self._begun_change(record)
        if event is None:
            return Unused("call that is not known")
        call, path = (_text(text) for text in record.texts)
        directory, mode, _, _ = record.numbers
        process = self._processes.find(record.pid, record.time_ns)
        change = event.file_changed
        if not path.startswith("/"):
            change.directory = process.directory(directory)
        if call == "unlinkat" and mode & _AT_REMOVEDIR:
            change.operation = pb.FILE_OPERATION_DIRECTORY_REMOVED
        elif call in {"chmod", "fchmodat", "mkdir", "mkdirat"}:
            change.mode = mode & 0o7777
        elif call == "chdir" and change.result == 0:
            process.cwd = _joined(process.cwd, path)
            change.path, change.directory = "", process.cwd
        return [process_effect(event)]

    def _name(self, record: TraceRecord) -> list[Item] | Unused:
        event = self._begun_change(record)
        if event is None:
            return Unused("call that is not known")
        _, old, new = (_text(text) for text in record.texts)
        directory, to_directory, _, _ = record.numbers
        process = self._processes.find(record.pid, record.time_ns)
        change = event.file_changed
        change.new_path = new
        # What a symbolic link says begins nowhere.
        if not old.startswith("/") and change.operation != pb.FILE_OPERATION_SYMLINK_MADE:
            change.directory = process.directory(directory)
        if not new.startswith("/"):
            change.new_directory = process.directory(to_directory)
        return [process_effect(event)]

    def _connect(self, record: TraceRecord) -> list[Item] | Unused:
        fd, error, _ = record.numbers
        peer = _peer(record.data)
        if peer is None:
            return Unused("connection that is not to an IP address")
        self._sockets += 1
        event = self.event(record)
        made = event.net_connected
        made.socket, (made.peer_address, made.peer_port) = self._sockets, peer
        found = linux_errno(error)
        # Made without blocking: how it went is told to nobody but the process.
        made.error = 0 if found == errno.EINPROGRESS else found
        if not made.error and 0 <= fd <= _MAX_FD:
            process = self._processes.find(record.pid, record.time_ns)
            process.descriptors.put(fd, OpenSocket(self._sockets, *peer, record.time_ns))
        return [process_effect(event)]

    def _signal(self, record: TraceRecord) -> list[Item]:
        target, signal = record.numbers
        self._processes.find(target, record.time_ns).signal = signal & 0x7F
        event = self.event(record)
        event.signal_sent.sender_pid, event.signal_sent.target_pid = record.pid, target
        event.signal_sent.signal = signal & 0x7F
        return [process_effect(event)]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _result(result: int, error: int) -> int:
    """Return what Linux' call would have: -errno, or what it gave."""
    if error or result < 0:
        return -linux_errno(error) or -errno.EIO
    return min(result, _MAX_FD)


def _joined(directory: str, path: str) -> str:
    return f"{directory.rstrip('/')}/{path}" if directory and not path.startswith("/") else path


def _peer(address: bytes) -> tuple[str, int] | None:
    """Return address and port of a sockaddr of macOS; None if it is none of IP."""
    family = address[1] if len(address) > 1 else 0
    port = int.from_bytes(address[2:4], "big")
    if family == _AF_INET and len(address) >= 8:
        return str(ipaddress.IPv4Address(address[4:8])), port
    if family == _AF_INET6 and len(address) >= 24:
        return str(ipaddress.IPv6Address(address[8:24])), port
    return None
