"""What a drain returns: the items of one batch, in the order of their first record.

Plain data, built by the drain in C with positional arguments: the order of fields is a contract.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias


class PayloadSource(enum.IntEnum):
    """Where plaintext was taken: `enum payload_source` of bpf/tls.h."""

    TLS = 0
    # A TCP socket on which no TLS is spoken.
    SOCKET = 1
    # Standard input (read) and output (written) of a process, where they are pipes.
    STDIO = 2
    # Standard error (written), where it is a pipe.
    STDERR = 3
    # Lines that readline gave to a shell (read).
    READLINE = 4


@dataclass(slots=True)
class TlsRun:
    """Consecutive plaintext of one connection and direction."""

    connection: int
    # 0 = the process was in no session when this was captured.
    session: int
    pid: int
    # Of the first piece; the others may come from other threads.
    tid: int
    # cgroup v2 id of the process (inode of its cgroup directory).
    cgroup: int
    # True: the process wrote it (requests of a client).
    written: bool
    data: bytes
    # Piece i begins at data[offsets[i]] and was moved at times_ns[i] (CLOCK_BOOTTIME).
    offsets: Sequence[int]
    times_ns: Sequence[int]
    # Bytes of this connection and direction that are missing right before `data`: records for which
    # the ring had no space, unreadable memory, and the ends of calls above max_payload_bytes.
    # Inside a run nothing is missing.
    lost_bytes: int
    source: int = PayloadSource.TLS


@dataclass(slots=True)
class TlsDuplex:
    """Runs of both directions of a connection, whose pieces came in turns; `first` began first."""

    first: TlsRun
    second: TlsRun


@dataclass(slots=True)
class ConnectionOpened:
    """The peer of a connection is known; can come after the connection's first runs, or never."""

    connection: int
    session: int
    pid: int
    boot_ns: int
    peer_address: str
    peer_port: int


@dataclass(slots=True)
class ConnectionClosed:
    """The last item of a connection whose TLS object was freed.

    Connections of a process that executes another program or ends without freeing them have none:
    its ProcessRecord ends them.
    """

    connection: int
    pid: int
    boot_ns: int
    # Missing between the last run of the direction and the end.
    lost_read_bytes: int
    lost_written_bytes: int


@dataclass(slots=True)
class ProcessRecord:
    """A process was forked, executed a program or ended.

    Comes for tracked processes; executions of others while discovering (with a shortened argv), and
    ends of others that had TLS connections.
    """

    kind: Literal["forked", "executed", "exited"]
    session: int
    pid: int
    boot_ns: int
    cgroup: int
    # A serialized agentsight.v1.Event.
    event: bytes
    # An execution: the kernel side was told by `FamiliarPrograms` that nobody need look at it.
    is_familiar: bool = False


@dataclass(slots=True)
class ProcessNetworked:
    """A process of a familiar program opens its first connection or port: look at it now."""

    pid: int


@dataclass(slots=True)
class Segment:
    """File and network events of one session, one after the other."""

    session: int
    # Number of events.
    count: int
    # A serialized agentsight.v1.EventBatch; two of them put together are one again.
    data: bytes


@dataclass(slots=True)
class ProcessEffect:
    """A file or network event of a process, from a back end that does not know sessions."""

    pid: int
    # A serialized agentsight.v1.Event.
    event: bytes


Item: TypeAlias = (
    TlsRun
    | TlsDuplex
    | ConnectionOpened
    | ConnectionClosed
    | ProcessRecord
    | ProcessNetworked
    | Segment
    | ProcessEffect
)

# The order that the drain in C expects, which gives no ProcessEffect: the kernel knows sessions.
ITEM_TYPES = (
    TlsRun,
    TlsDuplex,
    ConnectionOpened,
    ConnectionClosed,
    ProcessRecord,
    ProcessNetworked,
    Segment,
)


@dataclass(slots=True)
class Drained:
    """One batch."""

    items: list[Item]
    # Records taken from the ring; all of them are in `items`.
    records: int
    # Numbers that are missing: the ring was full or memory unreadable. A gap shows when the next
    # record of the same CPU arrives, so over time this approaches `KernelCounters.lost_records`,
    # which knows at once and tells the reasons; it must never be more.
    lost_records: int
    # The budget ended the batch: drain again.
    more: bool
