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
_LIBRARIES = ("libssl", "libgnutls", "libnspr4")
_CACHED = re.compile(rb"/[^\0]*/(?:libssl|libgnutls|libnspr4)[^\0/]*\.so[^\0/]*")


def standard_libraries(root: str = "") -> list[str]:
    """Return the files of OpenSSL, GnuTLS and NSPR in the linker's directories below `root`.

    Links to them are left out. `root` is "/proc/PID/root" for the files of a container.
    """
    patterns = [f"{root}{place}/{name}*.so*" for place in _DIRECTORIES for name in _LIBRARIES]
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
