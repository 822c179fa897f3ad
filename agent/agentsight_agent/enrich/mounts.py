"""Where the files of a container lie on the host, by what both have mounted.

A file system that both see has the same device number (proc(5), mountinfo). Must not look into the
files of container runtimes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentsight_agent.enrich import procfs

_ESCAPED = re.compile(rb"\\([0-7]{3})")
# Beyond it the deepest mounts are left out; pods of many volumes have some hundred.
_MAX_PLACES = 512


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a process: directory `root` of the file system is seen at `point`."""

    device: str
    root: str
    point: str


@dataclass(frozen=True, slots=True)
class Place:
    """What is below `path` in the container is below `host_path` on the host; "" = nowhere."""

    path: str
    host_path: str


def read_places(pid: int, proc: str = procfs.PROC) -> list[Place]:
    """Return the places of a process's mounts, the longest path first; empty when it vanished."""
    host = read_mounts(1, proc)
    mounts = read_mounts(pid, proc)
    # The mount that was made last is the one that is seen.
    visible = {mount.point: mount for mount in mounts}
    places = [Place(mount.point, _on_host(mount, host)) for mount in visible.values()]
    places.sort(key=lambda place: (-len(place.path), place.path))
    return places[-_MAX_PLACES:]


def read_mounts(pid: int, proc: str = procfs.PROC) -> list[Mount]:
    """Return the mounts that a process sees, paths from its root; empty when it vanished."""
    try:
        text = Path(proc, str(pid), "mountinfo").read_bytes()
    except OSError:
        return []
    rows = [line.split(b" ", 5) for line in text.splitlines()]
    return [Mount(row[2].decode(), _path(row[3]), _path(row[4])) for row in rows if len(row) > 4]


def _path(text: bytes) -> str:
    """Return a path of mountinfo, which has blanks and the like as three octal digits."""
    plain = _ESCAPED.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), text)
    return plain.decode(errors="replace")


def _on_host(mount: Mount, host: Sequence[Mount]) -> str:
    """Return where the host sees the directory of `mount`; of several mounts the nearest one."""
    above = [
        other
        for other in host
        if other.device == mount.device and _is_below(mount.root, other.root)
    ]
    if not above:
        return ""
    nearest = max(above, key=lambda other: len(other.root))
    below = mount.root[len(nearest.root.rstrip("/")) :].rstrip("/")
    return nearest.point.rstrip("/") + below or "/"


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
