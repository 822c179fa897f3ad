"""Reads the JSON lines of upstream AgentSight (eunomia-bpf/agentsight) as events.

Known lines: TLS records (`ssl`, bare or wrapped by the collector), HTTP messages that its parser
made of them (`http_parser`), merged streams (`sse_processor`), and the processes and files of its
`process` runner. Must not do what the parsers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from agentsight_core.errors import ConfigError
from agentsight_core.ids import digest
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings import upstream_messages
from agentsight_core.recordings.upstream_text import (
    LineError,
    parse_line,
    payload,
    plain_text,
    whole_number,
)
from agentsight_core.recordings.upstream_traffic import Thread

_WRITES = {"WRITE/SEND", "SSL_write", "WRITE", "SEND"}
_READS = {"READ/RECV", "SSL_read", "READ", "RECV"}
# The collector's own times are ns since boot in older versions, Unix ms in newer ones.
_UNIX_MS = range(1_500_000_000_000, 3_000_000_000_000)
_MAX_NAMED_LINES = 5
# Process ids, sizes of a record, flags.
_MAX_SMALL = 2**32
# Measurements of the machine, console lines, handshakes: nothing that we have an event for.
_UNUSED = {"system", "stdio", "fake"}


def looks_like_upstream(head: bytes) -> bool:
    """Tell whether a file that begins with `head` holds such lines."""
    line = head.lstrip().split(b"\n", 1)[0]
    try:
        value = parse_line(line)
    except ValueError:
        # A first line longer than `head`: what it begins with has to do.
        return line.startswith(b"{") and b'"timestamp' in line[:200] and b'"log"' not in line[:50]
    return isinstance(value, dict) and "log" not in value and ("pid" in value or "data" in value)


def read_upstream(data: bytes, *, source: str) -> Iterator[pb.Event]:
    """Yield the events of all lines, then raise ConfigError if some of them were malformed.

    Each process tree is a session, its id a hash of the recording's first line and the pid.
    """
    reader = _Reader(digest(data.lstrip().split(b"\n", 1)[0], size=16))
    problems: list[str] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield from reader.read(parse_line(line))
        except ValueError as error:  # LineError, and values that no event can hold
            problems.append(f"line {number}: {error}")
    yield from reader.close()
    if problems:
        named = "; ".join(problems[:_MAX_NAMED_LINES])
        more = len(problems) - _MAX_NAMED_LINES
        rest = f"; {more} more lines" if more > 0 else ""
        raise ConfigError(f"{source}: {named}{rest}")


@dataclass(slots=True)
class _Reader:
    """The state of one recording."""

    about: bytes
    _sessions: dict[int, int] = field(default_factory=dict)
    _threads: dict[tuple[int, int], Thread] = field(default_factory=dict)
    # Unix time - the clock of `timestamp_ns`; None until a line tells.
    _offset_ns: int | None = None
    _now_ns: int = 0

    def read(self, value: object) -> Iterator[pb.Event]:
        """Yield the events of one line; LineError says what is wrong with it."""
        if not isinstance(value, dict):
            raise LineError("must be a JSON object")
        outer = cast("Mapping[str, object]", value)
        inner = outer.get("data")
        data = cast("Mapping[str, object]", inner) if isinstance(inner, dict) else outer
        kind = outer.get("source") or ("ssl" if "function" in data else "process")
        if not isinstance(kind, str):
            raise LineError("source must be a text")
        if kind in _UNUSED:
            return
        time_ns = self._time_ns(outer, data)
        self._now_ns = max(self._now_ns, time_ns)
        pid = _integer("pid", outer, data)
        yield from self._begin(pid, time_ns, outer, data)
        if kind == "process":
            yield from self._process(pid, time_ns, data)
        elif kind == "sse_processor":
            yield from self._stream(pid, time_ns, data)
        elif upstream_messages.is_message(data):
            yield from self._message(pid, time_ns, data)
        elif kind in {"ssl", "http_parser"}:
            yield from self._record(pid, time_ns, data)
        else:
            raise LineError(
                f"source {kind!r} is not known; known: ssl, http_parser, sse_processor, process"
            )

    def close(self) -> Iterator[pb.Event]:
        """Yield what can be said at the end."""
        for thread in self._threads.values():
            yield from thread.close(self._now_ns)
        for session in dict.fromkeys(self._sessions.values()):
            yield pb.Event(
                boot_ns=self._now_ns,
                wall_ns=self._now_ns,
                session=session,
                session_ended=pb.SessionEnded(watcher_stopped=True),
            )

    def _time_ns(self, outer: Mapping[str, object], data: Mapping[str, object]) -> int:
        """Return the time of a line: Unix time where the recording has it, else its own clock."""
        own = whole_number(data.get("timestamp_ns"))
        at = outer.get("timestamp")
        at = whole_number(data.get("timestamp") if at is None else at)
        unix_ns = None
        if at is not None and at in _UNIX_MS and at != own:
            unix_ns = at * 1_000_000
        if own is not None:
            if self._offset_ns is None:
                self._offset_ns = 0 if unix_ns is None else unix_ns - own
            if own + self._offset_ns < 0:
                raise LineError("timestamp_ns is before 1970 by the clock of the first line")
            return own + self._offset_ns
        if unix_ns is not None:
            return unix_ns
        if at is not None:
            return at
        raise LineError("timestamp or timestamp_ns must be a whole number from 0 to 2**63 - 1")

    def _event(self, pid: int, time_ns: int) -> pb.Event:
        session = self._sessions[pid]
        return pb.Event(boot_ns=time_ns, wall_ns=time_ns, session=session, pid=pid)

    def _begin(
        self, pid: int, time_ns: int, outer: Mapping[str, object], data: Mapping[str, object]
    ) -> Iterator[pb.Event]:
        """Begin a session with the first line of a process whose parent has none."""
        if pid in self._sessions:
            return
        parent = whole_number(data.get("ppid"))
        if parent in self._sessions:
            self._sessions[pid] = self._sessions[parent]
            return
        ident = digest("upstream", self.about, pid, size=8)
        self._sessions[pid] = int.from_bytes(ident, "big") or 1
        event = self._event(pid, time_ns)
        name = plain_text(str(outer.get("comm") or data.get("comm") or ""))
        event.session_started.root_pid = pid
        event.session_started.origin = pb.SESSION_ORIGIN_IMPORT
        event.session_started.agent_name = name or str(pid)
        yield event

    def _record(self, pid: int, time_ns: int, data: Mapping[str, object]) -> Iterator[pb.Event]:
        function = data.get("function")
        if function == "HANDSHAKE" or data.get("is_handshake"):
            return
        if not isinstance(function, str) or function not in _WRITES | _READS:
            raise LineError(f"function {function!r} is not known; known: READ/RECV, WRITE/SEND")
        text = data.get("data")
        if text is not None and not isinstance(text, str):
            raise LineError("data must be a text")
        length = whole_number(data.get("len"), below=_MAX_SMALL)
        missing = _optional(data, "bytes_lost")
        whole = max(0, length - missing) if length is not None else None
        content = b"" if text in (None, "null") and whole != 4 else payload(str(text), whole)
        if whole is not None and not content:
            missing += whole
        thread = self._thread(pid, data)
        yield from thread.feed(function in _WRITES, content, time_ns, missing=missing)

    def _message(self, pid: int, time_ns: int, data: Mapping[str, object]) -> Iterator[pb.Event]:
        # Whether it was written or read is not said; a client writes requests.
        written = data["message_type"] == "request"
        content = upstream_messages.wire_bytes(data)
        yield from self._thread(pid, data).feed(written, content, time_ns)

    def _stream(self, pid: int, time_ns: int, data: Mapping[str, object]) -> Iterator[pb.Event]:
        """Yield a merged stream: the first event came at start_time, the others by end_time."""
        pieces = upstream_messages.stream_bytes(data)
        first_ns, last_ns = (
            self._moment(data.get(key), time_ns) for key in ("start_time", "end_time")
        )
        yield from self._thread(pid, data).feed_stream(pieces, min(first_ns, last_ns), last_ns)

    def _moment(self, value: object, otherwise: int) -> int:
        """Return a time of a merged event, which is in the unit of `timestamp`."""
        moment = whole_number(value)
        if moment is None:
            return otherwise
        return moment * 1_000_000 if moment in _UNIX_MS and otherwise > 10**18 else moment

    def _thread(self, pid: int, data: Mapping[str, object]) -> Thread:
        key = (pid, _optional(data, "tid"))
        if key not in self._threads:
            self._threads[key] = Thread(self._sessions[pid], *key)
        return self._threads[key]

    def _process(self, pid: int, time_ns: int, data: Mapping[str, object]) -> Iterator[pb.Event]:
        event = self._event(pid, time_ns)
        match data.get("event"):
            case "EXEC":
                command = plain_text(str(data.get("full_command") or data.get("filename") or ""))
                event.process_executed.parent_pid = _optional(data, "ppid")
                event.process_executed.start_boot_ns = time_ns
                event.process_executed.argv.extend(command.split())
                event.process_executed.exe = plain_text(str(data.get("filename") or ""))
                event.process_executed.comm = plain_text(str(data.get("comm") or ""))
            case "EXIT":
                event.process_exited.exit_code = _optional(data, "exit_code")
                event.process_exited.duration_ns = _optional(data, "duration_ms") * 1_000_000
            case "FILE_OPEN":
                path = data.get("filepath") or data.get("filename") or ""
                event.file_opened.path = plain_text(str(path))
                event.file_opened.flags = _optional(data, "flags")
            case _:
                return  # BASH_READLINE and summaries: nothing that we have an event for
        yield event


def _integer(key: str, *places: Mapping[str, object]) -> int:
    for place in places:
        value = whole_number(place.get(key), below=_MAX_SMALL)
        if value is not None:
            return value
    raise LineError(f"{key} must be a process id")


def _optional(data: Mapping[str, object], key: str) -> int:
    return whole_number(data.get(key), below=_MAX_SMALL) or 0
