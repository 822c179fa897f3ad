"""The filter over paths of files, in the form in which the kernel side looks paths up.

Must not decide what is wanted.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from agentsight_agent.bpf.objects import BpfObject

# struct path_prefix and PREFIX_BYTES of bpf/lib/prefixes.bpf.h
_PREFIX_BYTES = 128
_PREFIX = struct.Struct(f"<I{_PREFIX_BYTES}s")
_UNWANTED, _WANTED = b"\1", b"\2"


class PathDefault(enum.IntEnum):
    """What is recorded of files below none of the given paths: `enum path_filter`."""

    ALL = 0
    WANTED = 1
    UNWANTED = 2


@dataclass(frozen=True, slots=True)
class PathFilter:
    """Absolute paths without a slash at the end; of several that fit, the longest decides."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def default(self) -> PathDefault:
        """What holds for all other paths."""
        if self.include:
            return PathDefault.UNWANTED
        return PathDefault.WANTED if self.exclude else PathDefault.ALL


ALL_PATHS = PathFilter()


def write_prefixes(loaded: BpfObject, old: PathFilter, new: PathFilter) -> None:
    """Bring the kernel's table from `old` to `new`."""
    before, after = _entries(old), _entries(new)
    table = loaded.map("path_prefixes")
    for key in before.keys() - after.keys():
        table.delete(key)
    for key, verdict in after.items():
        table.update(key, verdict)


def _entries(paths: PathFilter) -> dict[bytes, bytes]:
    """Return keys and values; what is excluded and included at once is included."""
    entries: dict[bytes, bytes] = {}
    for path in paths.exclude:
        entries.update(dict.fromkeys(_keys(path), _UNWANTED))
    for path in paths.include:
        entries.update(dict.fromkeys(_keys(path), _WANTED))
    return entries


def _keys(path: str) -> list[bytes]:
    """Return the keys of the path itself and of all below it."""
    stem = path.rstrip("/").encode()
    ends = [stem + b"/", stem + b"\0"] if stem else [b"/"]
    return [_PREFIX.pack(8 * len(end), end) for end in ends]
