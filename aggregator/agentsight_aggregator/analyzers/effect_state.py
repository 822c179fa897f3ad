"""What processes do to files and the network, as it is kept until a span is written.

Part of a checkpoint, as everything in `state`: a new field needs a default. Holds data only.
"""

from __future__ import annotations

import msgspec


class FileEffect(msgspec.Struct, tag="file"):
    """A file that a process opened, with what went through it until it was closed."""

    time_ns: int
    path: str
    fd: int = -1
    flags: int = 0
    # 0 or -errno of the open.
    error: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    closed: bool = False
    mapped_for_writing: bool = False
    # The process has not opened it while it was watched: inherited, received, opened before.
    found_open: bool = False
    # Of a process in a container, as the host sees it; "" = not known, or it does not.
    host_path: str = ""


class Quality(msgspec.Struct, frozen=True):
    """How a TCP connection did, from its beginning on."""

    retransmitted_bytes: int = 0
    # 0 = not measured.
    round_trip_us: int = 0
    round_trip_deviation_us: int = 0
    least_round_trip_us: int = 0
    # Segments; those sent carry data, retransmissions included.
    congestion_window: int = 0
    sent_segments: int = 0
    retransmitted_segments: int = 0
    lost_segments: int = 0


class ConnectionEffect(msgspec.Struct, tag="connection"):
    """A connection that a process made or accepted."""

    time_ns: int
    socket: int
    address: str
    port: int
    # 0 or errno of the connect.
    error: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    closed: bool = False
    accepted: bool = False
    quality: Quality | None = None
    # What the peer was asked for by; "" = not known.
    name: str = ""
    udp: bool = False
    sent_datagrams: int = 0
    received_datagrams: int = 0
    # 0 = no QUIC.
    quic_version: int = 0
    several_peers: bool = False


class ChangeEffect(msgspec.Struct, tag="change"):
    """A change of names, rights or length of a file, or of the working directory."""

    time_ns: int
    # "renamed", "unlinked", "directory_made"…
    operation: str
    path: str
    new_path: str = ""
    # 0 or -errno.
    error: int = 0
    # What goes with the operation: mode, uid, gid, length_bytes.
    details: dict[str, int] = {}
    # As in FileEffect.
    host_path: str = ""
    new_host_path: str = ""


class MarkEffect(msgspec.Struct, tag="mark"):
    """Something that happened to a process at one moment: a signal, a limit, a kill for memory."""

    time_ns: int
    # Name of the span event: "signal", "limit", "oom_kill", "capture_limited".
    name: str
    facts: dict[str, str | int] = {}


Effect = FileEffect | ConnectionEffect | ChangeEffect | MarkEffect
