"""The output of `agentsight.d` as items of a drain.

Pure: time is what the records say. Must not decide who belongs to whom beyond the target.
"""

from __future__ import annotations

from collections.abc import Callable

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.dtrace.effects import Effects
from agentsight_agent.backends.dtrace.lines import (
    Foreign,
    LineItem,
    LineReader,
    Missing,
    TraceRecord,
)
from agentsight_agent.backends.dtrace.plaintext import Piece, Plaintext
from agentsight_agent.backends.dtrace.processes import OpenSocket, Processes
from agentsight_agent.backends.items import process_record
from agentsight_agent.backends.traces.ordering import Ordering
from agentsight_agent.backends.traces.reader import TraceAccount, Unused
from agentsight_agent.bpf.records import ConnectionOpened, Item

MAGIC = b"@begin "
_VERSION = 1
# The script has its buffers emptied ten times a second, one CPU after the other.
_WINDOW_NS = 2_000_000_000
_MAX_WAITING = 65_536
_MAX_CALL_BYTES = 1 << 31
_U32 = (1 << 32) - 1
# CLD_EXITED
_BY_ITSELF = 1


def looks_like_dtrace(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is the output of the script."""
    return head.startswith(MAGIC) or b"\n" + MAGIC in head[:4096]


class DtraceReader:
    """A TraceReader; the session begins with the target, or with `root_pid`."""

    def __init__(self, root_pid: int | None = None) -> None:
        self.account = TraceAccount()
        self.wall_offset_ns = 0
        self._root_pid = root_pid
        self._lines = LineReader()
        self._order: Ordering[TraceRecord] = Ordering(_WINDOW_NS, _MAX_WAITING)
        self._begun = False
        self._processes = Processes(self.account)
        self._plaintext = Plaintext()
        self._effects = Effects(self._processes)
        # Of files, connections and signals the effects.
        self._takers: dict[str, Callable[[TraceRecord], list[Item] | Unused]] = {
            "fork": self._fork,
            "exec": self._exec,
            "exit": self._exit,
            "tls": self._tls,
            "tlsfd": self._tls_descriptor,
            "tlsfree": self._tls_freed,
            "end": lambda _: [],
        }

    def is_root(self, event: pb.Event) -> bool:
        """Say whether it is the target."""
        return event.pid == self._root_pid

    def feed(self, data: bytes) -> list[Item]:
        """Take the next bytes of the output."""
        return [item for line in self._lines.feed(data) for item in self._line(line)]

    def close(self) -> list[Item]:
        """Return what waited for older records."""
        items = [item for line in self._lines.close() for item in self._line(line)]
        items += [item for record in self._order.rest() for item in self._record(record)]
        return items

    def _line(self, line: LineItem) -> list[Item]:
        match line:
            case Missing():
                self.account.lose(line.reason, line.count)
            case Foreign():
                self.account.leave("not of the script")
            case TraceRecord(kind="begin"):
                self._begin(line)
            case TraceRecord() if not self._begun:
                # Without its begin nothing says what clock it is; DTrace prints that one first.
                self.account.lose("before the begin")
            case TraceRecord():
                ready = self._order.add(line.time_ns, line)
                return [item for record in ready for item in self._record(record)]
        return []

    def _begin(self, record: TraceRecord) -> None:
        version, wall_ns, target = record.numbers
        if self._begun or version != _VERSION or not 0 <= wall_ns < 1 << 63:
            self.account.lose(f"of version {version}" if version != _VERSION else "malformed")
            return
        self._begun = True
        self.account.read += 1
        self.wall_offset_ns = wall_ns - record.time_ns
        self._effects.wall_offset_ns = self.wall_offset_ns
        if self._root_pid is None:
            self._root_pid = target

    def _record(self, record: TraceRecord) -> list[Item]:
        """Return the items of a record whose turn it is."""
        if problem := _problem(record):
            self.account.lose(problem)
            return []
        found = self._takers.get(record.kind, self._effects.take)(record)
        if isinstance(found, Unused):
            self.account.leave(found.reason)
            return []
        self.account.read += 1
        self.account.lost_bytes = self._plaintext.lost_bytes
        return found

    def _fork(self, record: TraceRecord) -> list[Item]:
        (child,) = record.numbers
        self._processes.fork(record.pid, child, record.time_ns)
        event = self._effects.event(record)
        event.pid = event.tid = child
        event.process_forked.parent_pid = record.pid
        event.process_forked.start_boot_ns = record.time_ns
        return [process_record("forked", event)]

    def _exec(self, record: TraceRecord) -> list[Item]:
        parent, uid, already, argc, size, taken = record.numbers
        argv = [part.decode("utf-8", "replace") for part in record.data.split(b"\0")]
        argv = argv[: max(argc, 0)]
        event = self._effects.event(record)
        done = event.process_executed
        done.parent_pid, done.uid = parent, uid & _U32
        done.start_boot_ns = self._processes.find(record.pid, record.time_ns).start_ns
        done.argv[:] = argv
        done.argv_truncated = size > taken or len(argv) < argc
        done.comm = record.texts[0].decode("utf-8", "replace")
        # The path that was executed is not told; often the first argument is it.
        done.exe = argv[0] if argv and argv[0].startswith("/") else ""
        done.already_running = bool(already)
        closed = self._plaintext.end(record.pid, record.time_ns)
        return [*closed, process_record("executed", event)]

    def _exit(self, record: TraceRecord) -> list[Item]:
        reason, status = record.numbers
        process = self._processes.find(record.pid, record.time_ns)
        event = self._effects.event(record)
        done = event.process_exited
        done.duration_ns = max(0, record.time_ns - process.start_ns)
        if reason == _BY_ITSELF:
            done.exit_code = status & 0xFF
        elif process.signal:
            done.exit_signal = process.signal
        else:
            done.status_unknown = True
        self._processes.remove(record.pid)
        closed = self._plaintext.end(record.pid, record.time_ns)
        return [*closed, process_record("exited", event)]

    def _tls(self, record: TraceRecord) -> list[Item]:
        ssl, written, size, offset, _ = record.numbers
        tid = record.tid & _U32
        piece = Piece(
            record.pid, tid, record.time_ns, ssl, bool(written), size, offset, record.data
        )
        return [self._plaintext.take(piece)]

    def _tls_descriptor(self, record: TraceRecord) -> list[Item] | Unused:
        ssl, fd = record.numbers
        process = self._processes.find(record.pid, record.time_ns)
        peer = process.descriptors.get(fd)
        if not isinstance(peer, OpenSocket):
            return Unused("descriptor whose connection was not seen")
        number = self._plaintext.number(record.pid, ssl)
        at_ns = record.time_ns
        return [ConnectionOpened(number, 0, record.pid, at_ns, peer.address, peer.port)]

    def _tls_freed(self, record: TraceRecord) -> list[Item]:
        (ssl,) = record.numbers
        return self._plaintext.free(record.pid, ssl, record.time_ns)


def _problem(record: TraceRecord) -> str:
    """Return why a record cannot be taken, "" if it can."""
    if record.kind == "error":
        return "error in the script"
    # Another process than its own.
    others = record.numbers[:1] if record.kind in {"fork", "exec", "signal"} else ()
    if not all(0 <= pid <= _U32 for pid in others):
        return "malformed"
    if record.kind == "tls":
        _, _, size, offset, taken = record.numbers
        if offset < 0 or taken < 0 or not offset + taken <= size <= _MAX_CALL_BYTES:
            return "malformed"
    return ""
