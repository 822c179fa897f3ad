"""The proxy and the polled processes as one back end.

Must not forward bytes and must not know what they mean.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
from agentsight_core.clocks import boot_ns

from agentsight_agent.backends.items import one_piece
from agentsight_agent.backends.polling import PolledProcesses
from agentsight_agent.backends.proxy.routes import Upstream
from agentsight_agent.bpf.records import (
    ConnectionClosed,
    ConnectionOpened,
    Drained,
    Item,
    PayloadSource,
)

# A look at all processes may take so much of one CPU, and comes at most so often.
_SHARE = 0.1
_LOOK_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class _Connection:
    pid: int
    source: PayloadSource


class ProxyBackend:
    """Gives which processes there were, and what went through the proxy, whose `Tap` it is."""

    def __init__(self, root_pid: int, *, wall_offset_ns: int) -> None:
        self._root_pid = root_pid
        self._processes = PolledProcesses(root_pid, wall_offset_ns=wall_offset_ns)
        self._connections: dict[int, _Connection] = {}
        self._count = 0
        self._items: list[Item] = []
        self._next_look_ns = 0
        # Connections of which the system did not tell the process: they count as the root's.
        self.unplaced = 0

    @property
    def connections(self) -> int:
        """How many have come so far."""
        return self._count

    def begin(self, argv: tuple[str, ...], exe: str, cwd: str, now_ns: int) -> None:
        """Note that the root executes `argv` now."""
        self._items += self._processes.root_began(argv, exe, cwd, now_ns)

    def end(self, exit_code: int, now_ns: int) -> None:
        """Note how the root has ended (`os.waitstatus_to_exitcode`), and look no more."""
        self._look(now_ns)
        self._items += self._processes.root_ended(exit_code, now_ns)
        self._next_look_ns = 1 << 63

    def drain(self, wall_offset_ns: int) -> Drained:
        """Return what has come since the last call."""
        del wall_offset_ns
        now_ns = boot_ns()
        if now_ns >= self._next_look_ns:
            self._look(now_ns)
        items, self._items = self._items, []
        return Drained(items, records=len(items), lost_records=0, more=False)

    # ---- what passes ----

    def opened(self, upstream: Upstream, client_port: int) -> int:
        """Give a number to the connection that a program has made."""
        self._count += 1
        source = PayloadSource.TLS if upstream.is_tls else PayloadSource.SOCKET
        self._connections[self._count] = _Connection(self._owner(client_port), source)
        return self._count

    def connected(self, connection: int, address: str, port: int) -> None:
        """Note that the upstream of a connection has answered."""
        pid = self._connections[connection].pid
        self._items.append(ConnectionOpened(connection, 0, pid, boot_ns(), address, port))

    def passed(self, connection: int, data: bytes, *, written: bool) -> None:
        """Note that plaintext went by."""
        found = self._connections[connection]
        run = one_piece(connection, found.pid, written, data, boot_ns(), source=found.source)
        self._items.append(run)

    def closed(self, connection: int) -> None:
        """Note that a connection is gone."""
        pid = self._connections.pop(connection).pid
        self._items.append(ConnectionClosed(connection, pid, boot_ns(), 0, 0))

    def _owner(self, client_port: int) -> int:
        """Return who has the other end of a connection on loopback."""
        pid = _find_owner(self._processes.pids, client_port)
        if pid is None:
            self._look(boot_ns())  # it may be younger than the last look
            pid = _find_owner(self._processes.pids, client_port)
        if pid is None:
            self.unplaced += 1
        return pid or self._root_pid

    def _look(self, now_ns: int) -> None:
        before_ns = time.thread_time_ns()
        self._items += self._processes.look(now_ns)
        took_ns = time.thread_time_ns() - before_ns
        self._next_look_ns = now_ns + max(_LOOK_NS, int(took_ns / _SHARE))


def _find_owner(pids: frozenset[int], port: int) -> int | None:
    for pid in sorted(pids):
        try:
            connections = psutil.Process(pid).net_connections("tcp4")
        except (psutil.Error, OSError):
            continue
        if any(item.laddr and item.laddr.port == port for item in connections):
            return pid
    return None
