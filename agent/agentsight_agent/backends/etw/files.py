"""Files of a Windows trace: events of Microsoft-Windows-Kernel-File.

An operation is told at its begin, its result when its Irp ends; what goes through a file is summed
up until the file object is closed. Pure and bounded.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from functools import partial

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.etw.events import EtwEvent
from agentsight_agent.backends.items import process_effect
from agentsight_agent.backends.traces.newest import Newest
from agentsight_agent.backends.traces.reader import TraceAccount, Unused
from agentsight_agent.bpf.records import Item

GUID = "edd08927-9cc4-4e65-b970-c2560fb5c289"

# Events: 12 Create, 14 Close, 15 Read, 16 Write, 24 OperationEnd, 26 DeletePath, 27 RenamePath,
# 28 SetLinkPath, 30 CreateNewFile
_READ, _DELETE_PATH, _RENAME_PATH = 15, 26, 27
_NO_END = "file operation without its end"
_MAX_WAITING = 4096
_MAX_OBJECTS = 65_536
# CreateOptions: the disposition in the highest byte, options in the others (NtCreateFile).
_OPTION_DIRECTORY = 0x1
# Linux' flags of open(2). What access is asked for is not in the events: the mode that is none.
_O_ACCMODE, _O_CREAT, _O_TRUNC = 0o3, 0o100, 0o1000
_FILE_CREATE = 2
_FLAGS = {0: _O_CREAT | _O_TRUNC, 2: _O_CREAT, 3: _O_CREAT, 4: _O_TRUNC, 5: _O_CREAT | _O_TRUNC}
# NTSTATUS of failed operations as Linux' errors; others are EIO.
_ERRORS = {
    0xC0000022: errno.EACCES,
    0xC0000034: errno.ENOENT,
    0xC0000035: errno.EEXIST,
    0xC000003A: errno.ENOENT,
    0xC0000043: errno.EBUSY,
    0xC000007F: errno.ENOSPC,
    0xC00000BA: errno.EISDIR,
    0xC0000101: errno.ENOTEMPTY,
    0xC0000103: errno.ENOTDIR,
    0xC0000121: errno.EACCES,
}
_SEVERITY_ERROR = 0xC0000000


@dataclass(slots=True)
class _Object:
    """An open file; ETW knows no descriptors, so a number of the trace stands for one."""

    number: int
    path: str
    opened_ns: int
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An operation whose end has not come."""

    event: pb.Event
    # Of an opening: the file object.
    key: int = 0


class Files:
    """The files that are open and the operations that are not finished."""

    def __init__(self, account: TraceAccount) -> None:
        self._account = account
        forgotten = partial(account.forget, "file, more than are followed")
        self._objects: Newest[int, _Object] = Newest(_MAX_OBJECTS, forgotten)
        without_end = partial(account.forget, _NO_END)
        self._waiting: Newest[int, _Waiting] = Newest(_MAX_WAITING, without_end)
        self._opened = 0

    def take(self, event: EtwEvent, told: pb.Event) -> list[Item] | Unused:
        """Return the items of an event, which may be none yet; `told` has no body.

        Raises MalformedEventError.
        """
        match event.ident:
            case 12 | 30:
                self._create(event, told)
                return []
            case 26 | 27 | 28:
                self._change(event, told)
                return []
            case 24:
                return self._end(event)
            case 15 | 16:
                return self._moved(event)
            case 14:
                return self._close(event, told)
        return Unused("operation on files without an event")

    def close(self) -> None:
        """Count the operations that have no end in the trace."""
        if self._waiting:
            self._account.forget(_NO_END, len(self._waiting))
        self._waiting.clear()

    def _create(self, event: EtwEvent, told: pb.Event) -> None:
        options = event.needed("CreateOptions")
        path, disposition = event.text("FileName"), options >> 24 & 0xFF
        if options & _OPTION_DIRECTORY:
            if disposition == _FILE_CREATE:
                told.file_changed.operation = pb.FILE_OPERATION_DIRECTORY_MADE
                told.file_changed.path = path
        else:
            told.file_opened.path = path
            told.file_opened.flags = _O_ACCMODE | _FLAGS.get(disposition, 0)
        self._wait(event, _Waiting(told, event.needed("FileObject")))

    def _change(self, event: EtwEvent, told: pb.Event) -> None:
        path = event.text("FilePath")
        change = told.file_changed
        if event.ident == _DELETE_PATH:
            change.operation, change.path = pb.FILE_OPERATION_UNLINKED, path
        else:
            opened = self._objects.get(event.needed("FileObject"))
            renamed = event.ident == _RENAME_PATH
            change.operation = pb.FILE_OPERATION_RENAMED if renamed else pb.FILE_OPERATION_LINK_MADE
            change.path, change.new_path = opened.path if opened else "", path
        self._wait(event, _Waiting(told))

    def _wait(self, event: EtwEvent, waiting: _Waiting) -> None:
        self._waiting.put(event.needed("Irp"), waiting)

    def _end(self, event: EtwEvent) -> list[Item] | Unused:
        status = event.needed("Status") & 0xFFFFFFFF
        waiting = self._waiting.pop(event.needed("Irp"), None)
        if waiting is None or waiting.event.WhichOneof("body") is None:
            return Unused("end of an operation without an event")
        failed = status & _SEVERITY_ERROR == _SEVERITY_ERROR
        error = -_ERRORS.get(status, errno.EIO) if failed else 0
        told = waiting.event
        if told.HasField("file_changed"):
            told.file_changed.result = error
            return [process_effect(told)]
        if not error:
            self._opened += 1
            opened = _Object(self._opened, told.file_opened.path, told.boot_ns)
            self._objects.put(waiting.key, opened)
        told.file_opened.result = error or self._opened
        return [process_effect(told)]

    def _moved(self, event: EtwEvent) -> list[Item] | Unused:
        size = event.needed("IOSize") & 0xFFFFFFFF
        opened = self._objects.get(event.needed("FileObject"))
        if opened is None:
            return Unused("file whose opening was not seen")
        if event.ident == _READ:
            opened.read_bytes += size
            opened.reads += 1
        else:
            opened.written_bytes += size
            opened.writes += 1
        return []

    def _close(self, event: EtwEvent, told: pb.Event) -> list[Item] | Unused:
        opened = self._objects.pop(event.needed("FileObject"), None)
        if opened is None:
            return Unused("file whose opening was not seen")
        done = told.file_closed
        done.path, done.fd, done.opened_boot_ns = opened.path, opened.number, opened.opened_ns
        done.read_bytes, done.written_bytes = opened.read_bytes, opened.written_bytes
        done.reads, done.writes = opened.reads & 0xFFFFFFFF, opened.writes & 0xFFFFFFFF
        return [process_effect(told)]
