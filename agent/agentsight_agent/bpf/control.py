"""What the loaded programs are told: once when they are loaded, and while they run.

Must not touch the kernel. Layouts: bpf/lib/record.h.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from pathlib import Path

from agentsight_agent.bpf.loader import Loader
from agentsight_agent.bpf.prefixes import ALL_PATHS

# struct load_settings
_SETTINGS = struct.Struct("<QQIIQ")
# struct control_values
_CONTROL = struct.Struct("<IIQIIIIIIIIII")
_MIN_RING_BYTES = 256 << 10
_MAX_ARGV_BYTES = 64 << 10
_MAX_PAYLOAD_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """What is fixed when the programs are loaded."""

    # A power of two.
    ring_bytes: int = 16 << 20
    # Wake `fileno()` when so much waits; below that the reader has to poll. None: a quarter.
    wakeup_bytes: int | None = None
    # Per call of a read or write function; the rest is counted as truncated.
    max_payload_bytes: int = _MAX_PAYLOAD_BYTES
    max_argv_bytes: int = _MAX_ARGV_BYTES
    # Of processes in no session.
    max_discovered_argv_bytes: int = 1024
    # Watch TLS and executions of all processes, not only of tracked ones.
    discover: bool = False
    # Watch the TCP connections of tracked processes.
    network: bool = True
    # Limits that leave nothing out for so long have ended.
    quiet_ns: int = 10_000_000_000
    # As a compiled object (btf) or from source by BCC (bcc); auto: what the kernel can take.
    loader: Loader = "auto"
    # BCC only: as /lib/modules/RELEASE; None: those of the running kernel. Headers of another
    # kernel need a C header with the structures of the running one.
    kernel_headers: Path | None = None
    kernel_layout: Path | None = None

    def __post_init__(self) -> None:
        if self.ring_bytes < _MIN_RING_BYTES or self.ring_bytes & (self.ring_bytes - 1):
            raise ValueError(
                f"ring_bytes is {self.ring_bytes}; allowed: powers of two from {_MIN_RING_BYTES}"
            )
        _within("max_payload_bytes", self.max_payload_bytes, _MAX_PAYLOAD_BYTES)
        _within("max_argv_bytes", self.max_argv_bytes, _MAX_ARGV_BYTES)
        _within("max_discovered_argv_bytes", self.max_discovered_argv_bytes, _MAX_ARGV_BYTES)

    def packed(self, max_payload_bytes: int) -> bytes:
        """Return what the programs read; a payload has `max_payload_bytes` at most."""
        wakeup = self.wakeup_bytes
        return _SETTINGS.pack(
            self.ring_bytes // 4 if wakeup is None else wakeup,
            min(self.max_payload_bytes, max_payload_bytes),
            self.max_argv_bytes,
            self.max_discovered_argv_bytes,
            self.quiet_ns,
        )


@dataclass(slots=True)
class Control:
    """What the programs are to do now; the fields are those of struct control_values, in order."""

    enabled: bool = True
    discover: bool = False
    generation: int = 1
    files: bool = False
    stdio: bool = False
    output_bytes: int = 0
    limited: bool = False
    path_filter: int = ALL_PATHS.default
    excludes_programs: bool = False
    excludes_peers: bool = False
    plain_sockets: bool = False
    datagrams: bool = False
    memberships: int = 0

    @property
    def watches_calls(self) -> bool:
        """Whether something is looked at after system calls: the end of a UDP socket is, too."""
        return self.files or self.stdio or self.datagrams

    def switch(self, *, on: bool) -> None:
        """Throw the kill switch; what happened before it was on again was not seen."""
        if on and not self.enabled:
            self.generation += 1
        self.enabled = on

    def count_membership(self) -> None:
        """Have the programs look up again what they remember of who is in which session."""
        self.memberships = (self.memberships + 1) & 0xFFFFFFFF

    def packed(self) -> bytes:
        """Return what the programs read."""
        return _CONTROL.pack(*astuple(self))


def _within(name: str, value: int, highest: int) -> None:
    if not 1 <= value <= highest:
        raise ValueError(f"{name} is {value}; allowed: 1 to {highest}")
