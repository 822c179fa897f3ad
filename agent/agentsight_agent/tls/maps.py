"""Reads which files a process has mapped as code, and names them so that the host can open them.

Must not judge what the files are. Source: proc(5), /proc/PID/maps and /proc/PID/map_files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from agentsight_agent.enrich.procfs import PROC

_CODE_LINE = re.compile(
    rb"^([0-9a-f]+-[0-9a-f]+) r-xp [0-9a-f]+ ([0-9a-f:]+) ([0-9]+) +(/[^\n]*)$", re.MULTILINE
)
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A file mapped as code: the line's addresses, device, inode and path as in /proc/PID/maps."""

    addresses: str
    device: str
    inode: int
    path: str

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells this file from others without touching it."""
        return self.device, self.inode, self.path


def mapped_code(pid: int, proc: str = PROC) -> list[Mapping] | None:
    """Return the files that process `pid` has mapped as code; None when it is gone."""
    try:
        # Not by pathlib, which takes longer than the kernel to say that a process is gone.
        with open(f"{proc}/{pid}/maps", "rb") as file:  # noqa: PTH123
            text = file.read()
    except OSError:
        return None
    if not text:
        return None  # a zombie, or a thread of the kernel
    return [
        Mapping(addresses.decode(), device.decode(), int(inode), os.fsdecode(path))
        for addresses, device, inode, path in _CODE_LINE.findall(text)
    ]


def openable_path(pid: int, mapping: Mapping, *, foreign: bool, proc: str = PROC) -> str:
    """Return a path at which the host can open the mapped file.

    `foreign` says that the process sees other mounts than we do: then the path leads through its
    root. A file that is deleted, or hidden below a newer one, is reached through map_files.
    """
    path = f"{proc}/{pid}/root{mapping.path}" if foreign else mapping.path
    if not mapping.path.endswith(_DELETED):
        try:
            # The device is not compared: btrfs and overlayfs show another one in maps.
            if os.stat(path).st_ino == mapping.inode:  # noqa: PTH116 - once per library and process
                return path
        except OSError:
            pass
    return f"{proc}/{pid}/map_files/{mapping.addresses}"
