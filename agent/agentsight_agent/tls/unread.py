"""Names processes whose TLS is not seen, and finds those that are connected without known TLS code.

Must not attach anything. Source: proc(5), /proc/PID/net/tcp and /proc/PID/fd.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from agentsight_agent.enrich.procfs import PROC
from agentsight_agent.tls.reasons import Reason

HTTPS_PORT = 443
_ESTABLISHED = b"01"
_SOCKET = "socket:["


@dataclass(frozen=True, slots=True)
class UnreadProcess:
    """A process with TLS that is not seen: `name` and `place` are of the file it comes from."""

    pid: int
    name: str
    place: str
    reason: Reason
    # What the kernel said, where it refused.
    detail: str = ""

    def __str__(self) -> str:
        """Return all of it for people."""
        why = f"{self.reason.text}: {self.detail}" if self.detail else self.reason.text
        return f"process {self.pid}, {self.name}: {why}"


def is_connected(pid: int, port: int | None = None, proc: str = PROC) -> bool:
    """Tell whether process `pid` has an established TCP connection (to remote port `port`)."""
    own = set(_sockets(pid, proc))
    return bool(own) and not own.isdisjoint(_established(pid, port, proc))


def _sockets(pid: int, proc: str) -> Iterator[bytes]:
    """Yield the inodes of the sockets that the process has open."""
    folder = f"{proc}/{pid}/fd"
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names are all that is needed
            target = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - thousands of them
            if target.startswith(_SOCKET):
                yield target[len(_SOCKET) : -1].encode()
    except OSError:
        return  # a descriptor or the process is gone: the next look sees what is left


def _established(pid: int, port: int | None, proc: str) -> Iterator[bytes]:
    """Yield the inodes of the connections in the network that the process sees."""
    end = b"" if port is None else b":%04X" % port
    for name in ("tcp", "tcp6"):
        try:
            with open(f"{proc}/{pid}/net/{name}", "rb") as file:  # noqa: PTH123 - as in procfs
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            # number, local, remote, state, queues, timer, retransmits, uid, timeout, inode
            fields = line.split(None, 10)
            if fields[3] == _ESTABLISHED and fields[2].endswith(end):
                yield fields[9]
