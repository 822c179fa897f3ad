"""Lists the TLS libraries that lie in the standard places below a root directory.

Must not open them. Source: ld.so(8) for the places and the cache.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

_DIRECTORIES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/lib/*-linux-*",
    "/usr/lib/*-linux-*",
)
_CACHED = re.compile(rb"/[^\0]*/libssl[^\0/]*\.so[^\0/]*")


def standard_libraries(root: str = "") -> list[str]:
    """Return the libssl files in the linker's directories below `root`, without links to them.

    `root` is "/proc/PID/root" for the files of a container.
    """
    patterns = [f"{root}{directory}/libssl*.so*" for directory in _DIRECTORIES]
    found = {path for pattern in patterns for path in glob.glob(pattern)}  # noqa: PTH207 - strings
    found.update(root + path for path in _cached(f"{root}/etc/ld.so.cache"))
    return sorted(_distinct(found))


def _cached(cache: str) -> Iterator[str]:
    """Yield the paths that the linker's cache names."""
    try:
        data = Path(cache).read_bytes()
    except OSError:
        return
    for match in _CACHED.finditer(data):
        # The string table is shared: a match is one whole path, ended by its zero byte.
        yield os.fsdecode(match[0])


def _distinct(paths: Iterable[str]) -> Iterator[str]:
    """Yield one path for each regular file; in a container an absolute link would leave it."""
    seen: set[tuple[int, int]] = set()
    for path in sorted(paths):
        try:
            status = os.lstat(path)
        except OSError:
            continue
        key = status.st_dev, status.st_ino
        if stat.S_ISREG(status.st_mode) and key not in seen:
            seen.add(key)
            yield path
