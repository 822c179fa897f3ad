"""Pieces of TLS calls to runs, with what is missing between them.

A call is told in pieces, each with the size of the whole, so what was dropped shows. Pure; bounded
by the number of connections that are open.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentsight_agent.backends.items import one_piece
from agentsight_agent.bpf.records import ConnectionClosed, Item, TlsRun


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the plaintext of one call."""

    pid: int
    tid: int
    # Of the call: pieces of one have the same.
    time_ns: int
    ssl: int
    written: bool
    # Of the call, and where in it this piece begins.
    size: int
    offset: int
    data: bytes


@dataclass(slots=True)
class _Direction:
    # The call that pieces came of last, and how far they went.
    call: tuple[int, int] = (0, 0)
    size: int = 0
    reached: int = 0

    def take(self, piece: Piece) -> int:
        """Take a piece; return how many bytes are missing right before it."""
        call, missing = (piece.time_ns, piece.tid), 0
        if call != self.call or piece.offset < self.reached:
            missing = self.rest()
            self.call, self.size, self.reached = call, piece.size, 0
        missing += piece.offset - self.reached
        self.reached = piece.offset + len(piece.data)
        return missing

    def rest(self) -> int:
        """Return what is missing of the last call."""
        return max(self.size - self.reached, 0)


class _Connection:
    def __init__(self, number: int) -> None:
        self.number = number
        self.read, self.written = _Direction(), _Direction()


class Plaintext:
    """All TLS objects of a trace that are not freed."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], _Connection] = {}
        self._count = 0
        # All that was found missing.
        self.lost_bytes = 0

    def number(self, pid: int, ssl: int) -> int:
        """Return the number of a TLS object in this trace, from 1 on."""
        return self._find(pid, ssl).number

    def take(self, piece: Piece) -> TlsRun:
        """Return the run that a piece is."""
        connection = self._find(piece.pid, piece.ssl)
        direction = connection.written if piece.written else connection.read
        lost = direction.take(piece)
        self.lost_bytes += lost
        return one_piece(
            connection.number,
            piece.pid,
            piece.written,
            piece.data,
            piece.time_ns,
            tid=piece.tid,
            lost_bytes=lost,
        )

    def free(self, pid: int, ssl: int, time_ns: int) -> list[Item]:
        """End a TLS object."""
        connection = self._open.pop((pid, ssl), None)
        if connection is None:
            return []
        lost = connection.read.rest(), connection.written.rest()
        self.lost_bytes += sum(lost)
        return [ConnectionClosed(connection.number, pid, time_ns, *lost)]

    def end(self, pid: int, time_ns: int) -> list[Item]:
        """End the TLS objects of a process that is gone or executes something."""
        keys = [key for key in self._open if key[0] == pid]
        return [item for key in keys for item in self.free(*key, time_ns)]

    def _find(self, pid: int, ssl: int) -> _Connection:
        found = self._open.get((pid, ssl))
        if found is None:
            self._count += 1
            found = self._open[pid, ssl] = _Connection(self._count)
        return found
