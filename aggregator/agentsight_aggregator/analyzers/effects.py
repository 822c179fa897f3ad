"""What processes do to files and the network, as span events.

Must not decide whose effect it is beyond the process that had it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import chain

from agentsight_core.pb import events_pb2 as events
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers.findings import Attributes, event
from agentsight_aggregator.analyzers.state import (
    ConnectionEffect,
    Effect,
    FileEffect,
    ProcessState,
)

_O_ACCMODE = 0o3
_ACCESS = {0: "read", 1: "write", 2: "read_write"}
_O_CREAT = 0o100
_O_TRUNC = 0o1000
_O_APPEND = 0o2000
# A talking process may do much between two answers; what is older is placed on it at once.
_MAX_UNPLACED = 1024


def take_file_opened(process: ProcessState, item: events.Event, limit: int) -> None:
    """Note that `process` opened a file, or failed to."""
    opened = item.file_opened
    process.files += opened.result >= 0
    effect = FileEffect(
        time_ns=item.wall_ns,
        path=opened.path,
        fd=max(opened.result, -1),
        flags=opened.flags,
        error=min(opened.result, 0),
        closed=opened.result < 0,
    )
    _add(process, effect, limit)


def take_file_closed(process: ProcessState, item: events.Event, limit: int) -> None:
    """Add what went through a file of `process` to its opening."""
    done = item.file_closed
    process.read_bytes += done.read_bytes
    process.written_bytes += done.written_bytes
    for effect in _newest(process):
        if isinstance(effect, FileEffect) and effect.fd == done.fd and not effect.closed:
            break
    else:
        if "file" in process.omitted:
            return
        opened_ns = item.wall_ns - item.boot_ns + done.opened_boot_ns
        time_ns = opened_ns if done.opened_boot_ns else item.wall_ns
        effect = FileEffect(time_ns=time_ns, path=done.path, fd=done.fd)
        _add(process, effect, limit)
    effect.closed = True
    effect.read_bytes = done.read_bytes
    effect.written_bytes = done.written_bytes


def take_connected(process: ProcessState, item: events.Event, limit: int) -> None:
    """Note that `process` connected, or failed to."""
    made = item.net_connected
    process.connections += 1
    effect = ConnectionEffect(
        time_ns=item.wall_ns - made.duration_ns,
        socket=made.socket,
        address=made.peer_address,
        port=made.peer_port,
        error=made.error,
        closed=made.error != 0,
    )
    _add(process, effect, limit)


def take_disconnected(process: ProcessState, item: events.Event, limit: int) -> None:
    """Add what went over a connection of `process` to its beginning."""
    done = item.net_closed
    process.sent_bytes += done.sent_bytes
    process.received_bytes += done.received_bytes
    for effect in _newest(process):
        same = isinstance(effect, ConnectionEffect) and effect.socket == done.socket
        if same and not effect.closed:
            break
    else:
        if "connection" in process.omitted:
            return
        effect = ConnectionEffect(
            time_ns=item.wall_ns - done.duration_ns,
            socket=done.socket,
            address=done.peer_address,
            port=done.peer_port,
        )
        _add(process, effect, limit)
    assert isinstance(effect, ConnectionEffect)
    effect.closed = True
    effect.sent_bytes = done.sent_bytes
    effect.received_bytes = done.received_bytes


def place(process: ProcessState, effect: Effect, limit: int) -> None:
    """Put `effect` on the span of `process`; what is over `limit` is counted."""
    if len(process.effects) < limit:
        process.effects.append(effect)
        return
    kind = "file" if isinstance(effect, FileEffect) else "connection"
    process.omitted[kind] = process.omitted.get(kind, 0) + 1


def touches(effect: Effect, text: str) -> bool:
    """Tell whether the string `text` of a tool's arguments names the file of `effect`."""
    if not isinstance(effect, FileEffect) or not effect.path or len(text) > 4096:
        return False
    wanted = text.removeprefix("./").rstrip("/")
    path = effect.path.removeprefix("./")
    return bool(wanted) and (
        path == wanted or path.endswith(f"/{wanted}") or wanted.endswith(f"/{path}")
    )


def effect_event(effect: Effect) -> pb.SpanEvent:
    """Return `effect` as a span event."""
    if isinstance(effect, FileEffect):
        return event(effect.time_ns, "file", _file(effect))
    return event(effect.time_ns, "connection", _connection(effect))


def _add(process: ProcessState, effect: Effect, limit: int) -> None:
    if not process.talks:
        place(process, effect, limit)
        return
    process.unplaced.append(effect)
    if len(process.unplaced) > _MAX_UNPLACED:
        place(process, process.unplaced.pop(0), limit)


def _newest(process: ProcessState) -> Iterator[Effect]:
    return chain(reversed(process.unplaced), reversed(process.effects))


def _file(effect: FileEffect) -> Attributes:
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
    if not effect.closed:
        attributes["agentsight.file.open"] = True
    return attributes


def _connection(effect: ConnectionEffect) -> Attributes:
    attributes: Attributes = {
        "network.peer.address": effect.address,
        "network.peer.port": effect.port,
        "network.transport": "tcp",
        "agentsight.connection.sent_bytes": effect.sent_bytes,
        "agentsight.connection.received_bytes": effect.received_bytes,
    }
    if effect.error:
        attributes["error.type"] = errno.errorcode.get(effect.error, str(effect.error))
    if not effect.closed:
        attributes["agentsight.connection.open"] = True
    return attributes
