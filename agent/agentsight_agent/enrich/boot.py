"""Who this node is and how its clocks relate.

Must not know processes or sessions.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.clocks import boot_ns
from agentsight_core.ids import digest

_MACHINE_ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_CLOCK_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Node:
    """The identity of this machine, of this run of its kernel, and of the agent on it."""

    name: str
    cluster: str
    boot_id: str
    agent_id: str


def read_node(cluster: str, name: str = "", proc: str = "/proc") -> Node:
    """Return this machine's identity; `name` replaces the host name.

    The agent id is a hash of cluster and machine id (machine-id(5)); a machine without one, as
    minimal containers are, is named by its host name.
    """
    boot_id = _read_boot_id(Path(proc, "sys/kernel/random/boot_id"))
    node = name or os.uname().nodename
    agent_id = digest("agent", cluster, machine_id() or node, size=8).hex()
    return Node(name=node, cluster=cluster, boot_id=boot_id, agent_id=agent_id)


def _read_boot_id(file: Path) -> str:
    """Return what names this run of the kernel: Linux' id; elsewhere when it began, in seconds."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        import psutil  # noqa: PLC0415  0.6 MB that Linux does not need

        return f"{psutil.boot_time():.0f}"


def machine_id(files: tuple[str, ...] = _MACHINE_ID_FILES) -> str:
    """Return the machine id, which survives reboots; empty when the machine has none."""
    for file in files:
        try:
            text = Path(file).read_text().strip()
        except OSError:
            continue
        if text and text != "uninitialized":
            return text
    return ""


def wall_offset_ns() -> int:
    """Return what to add to a boot time to get Unix time, in nanoseconds.

    Of a few samples, the one whose two readings of the boot clock were closest together. The wall
    clock can be set, so ask again from time to time.
    """
    best_gap, best = 1 << 62, 0
    for _ in range(_CLOCK_SAMPLES):
        before = boot_ns()
        wall = time.time_ns()
        gap = boot_ns() - before
        if gap < best_gap:
            best_gap, best = gap, wall - before - gap // 2
    return best
