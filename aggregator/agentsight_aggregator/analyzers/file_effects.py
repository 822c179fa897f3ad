"""Files: what processes open, what goes through them, and what they change.

Must not decide whose effect it is beyond the process that had it.
"""

from __future__ import annotations

import errno
from typing import cast

from agentsight_core.pb import events_pb2 as events

from agentsight_aggregator.analyzers.effect_state import ChangeEffect, FileEffect
from agentsight_aggregator.analyzers.findings import Attributes
from agentsight_aggregator.analyzers.host_paths import Places, on_host
from agentsight_aggregator.analyzers.placing import newest, note
from agentsight_aggregator.analyzers.state import ProcessState

_O_ACCMODE = 0o3
_ACCESS = {0: "read", 1: "write", 2: "read_write"}
_O_CREAT = 0o100
_O_TRUNC = 0o1000
_O_APPEND = 0o2000


def take_file_opened(process: ProcessState, item: events.Event, limit: int, places: Places) -> None:
    """Note that `process` opened a file, failed to, or uses one that was open already."""
    opened = item.file_opened
    process.files += opened.result >= 0 and not found_open(opened)
    path = absolute(opened.directory, opened.path)
    effect = FileEffect(
        time_ns=item.wall_ns,
        path=path,
        host_path=on_host(path, places),
        fd=max(opened.result, -1),
        flags=opened.flags,
        error=min(opened.result, 0),
        closed=opened.result < 0,
        found_open=found_open(opened),
    )
    note(process, effect, limit)


def found_open(opened: events.FileOpened) -> bool:
    """Tell whether the file was open already when the process began to use it."""
    return bool(opened.directory) and not opened.path


def take_file_closed(process: ProcessState, item: events.Event, limit: int) -> None:
    """Add what went through a file of `process` to its opening."""
    done = item.file_closed
    process.read_bytes += done.read_bytes
    process.written_bytes += done.written_bytes
    effect = _opening_of(process, done)
    if effect is None:
        if "file" in process.omitted:
            return
        opened_ns = item.wall_ns - item.boot_ns + done.opened_boot_ns
        time_ns = opened_ns if done.opened_boot_ns else item.wall_ns
        effect = FileEffect(time_ns=time_ns, path=done.path, fd=done.fd)
        note(process, effect, limit)
    effect.closed = effect.closed or not done.still_open
    effect.read_bytes += done.read_bytes
    effect.written_bytes += done.written_bytes
    effect.mapped_for_writing |= done.mapped_for_writing


def take_file_changed(
    process: ProcessState, item: events.Event, limit: int, places: Places
) -> ChangeEffect:
    """Note that `process` changed a name, right or length, or failed to."""
    done = item.file_changed
    path, new_path = _subject(done), absolute(done.new_directory, done.new_path)
    effect = ChangeEffect(
        time_ns=item.wall_ns,
        operation=_operation(done.operation),
        path=path,
        new_path=new_path,
        host_path=on_host(path, places),
        new_host_path=on_host(new_path, places),
        error=min(done.result, 0),
        details=_details(done),
    )
    process.changes += not effect.error
    note(process, effect, limit)
    return effect


def absolute(directory: str, path: str) -> str:
    """Return `path` as seen from the root, if it is known where it begins.

    `..` stays: what is above a symbolic link only the kernel knows.
    """
    if not directory or path.startswith("/"):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join([directory.rstrip("/"), *parts]) or "/"


def _opening_of(process: ProcessState, done: events.FileClosed) -> FileEffect | None:
    """Return the opening of the descriptor of `done`, or of the one it is a duplicate of."""
    files = [effect for effect in newest(process) if isinstance(effect, FileEffect)]
    for effect in files:
        if effect.fd == done.fd and not effect.closed:
            return effect
    end = "/" + done.path.removeprefix("./")
    for effect in files:
        if (
            done.path
            and not effect.error
            and (effect.path == done.path or effect.path.endswith(end))
        ):
            return effect
    return None


def _subject(done: events.FileChanged) -> str:
    if done.operation == events.FILE_OPERATION_SYMLINK_MADE:
        return done.path
    return absolute(done.directory, done.path)


def _operation(number: int) -> str:
    """Return the operation in words; one of a newer agent as its number."""
    if number not in events.FileOperation.values():
        return str(number)
    name = events.FileOperation.Name(cast("events.FileOperation", number))
    return name.removeprefix("FILE_OPERATION_").lower()


def _details(done: events.FileChanged) -> dict[str, int]:
    match done.operation:
        case events.FILE_OPERATION_MODE_CHANGED | events.FILE_OPERATION_DIRECTORY_MADE:
            return {"mode": done.mode}
        case events.FILE_OPERATION_OWNER_CHANGED:
            owners = {"uid": done.uid, "gid": done.gid}
            return {name: value for name, value in owners.items() if done.HasField(name)}
        case events.FILE_OPERATION_TRUNCATED:
            return {"length_bytes": done.length_bytes}
    return {}


def file_attributes(effect: FileEffect) -> Attributes:
    """Return what the span event of an opened file says."""
    attributes: Attributes = {
        "file.path": effect.path,
        "agentsight.file.access": _ACCESS.get(effect.flags & _O_ACCMODE, "other"),
        "agentsight.file.read_bytes": effect.read_bytes,
        "agentsight.file.written_bytes": effect.written_bytes,
    }
    named = {"create": _O_CREAT, "truncate": _O_TRUNC, "append": _O_APPEND}
    flags = tuple(name for name, bit in named.items() if effect.flags & bit)
    if flags:
        attributes["agentsight.file.flags"] = flags
    if effect.error:
        attributes["error.type"] = errno.errorcode.get(-effect.error, str(-effect.error))
    if effect.host_path:
        attributes["agentsight.file.host_path"] = effect.host_path
    if effect.found_open:
        attributes["agentsight.file.found_open"] = True
    if effect.mapped_for_writing:
        attributes["agentsight.file.mapped_for_writing"] = True
    if not effect.closed:
        attributes["agentsight.file.open"] = True
    return attributes


def change_attributes(effect: ChangeEffect) -> Attributes:
    """Return what the span event of a changed file says."""
    attributes: Attributes = {
        "file.path": effect.path,
        "agentsight.file.operation": effect.operation,
    }
    more = {
        "host_path": effect.host_path,
        "new_path": effect.new_path,
        "new_host_path": effect.new_host_path,
    }
    attributes |= {f"agentsight.file.{name}": text for name, text in more.items() if text}
    for name, value in effect.details.items():
        attributes[f"agentsight.file.{name}"] = oct(value) if name == "mode" else value
    if effect.error:
        attributes["error.type"] = errno.errorcode.get(-effect.error, str(-effect.error))
    return attributes
