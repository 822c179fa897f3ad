"""A file system (FUSE) that forgets what was not synced, and whose sync can be slow.

    python -m agentsight_core.testing.cluster.lazy_files --live L --durable D --mount M --delay F

Programs see the files of `live`. Names, and that a file is there, are in `durable` at once, as in a
file system with a journal; content only after fsync. File F holds the seconds that a sync takes.
Needs root and /dev/fuse. Must not play the power failure itself: see `disks`.
"""

# FUSE decides what is passed, and a path is text below one of two roots.
# ruff: noqa: ARG002, PTH101, PTH102, PTH105, PTH106, PTH108, PTH202, PTH208

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mfusepy  # type: ignore[import-untyped]  # it has no types

_READ_BYTES = 1 << 20
# Unmounted also when this process is killed: nobody can remove a folder that is a dead mount.
_OPTIONS = {"fsname": "lazy", "max_threads": 16, "auto_unmount": True}


class LazyFiles(mfusepy.Operations):  # type: ignore[misc]  # its base has no types
    """Every change goes to `live`; what survives goes to `durable` too."""

    # Times are integers, nanoseconds.
    use_ns = True

    def __init__(self, live: Path, durable: Path, delay: Path) -> None:
        self._live = str(live)
        self._durable = str(durable)
        self._delay = delay
        self._lock = threading.Lock()
        # Inode in `live` to the stretch (first byte, after the last) that is not synced.
        self._dirty: dict[int, tuple[int, int]] = {}

    # What changes nothing.

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """Return the attributes."""
        found = os.lstat(self._live + path)
        keys = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_blocks")
        times = {f"st_{key}": getattr(found, f"st_{key}_ns") for key in ("atime", "mtime", "ctime")}
        return {key: getattr(found, key) for key in keys} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        """Return the names in a folder."""
        return [".", "..", *os.listdir(self._live + path)]

    def statfs(self, path: str) -> dict[str, int]:
        """Return what is free."""
        found = os.statvfs(self._live + path)
        keys = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_ffree", "f_files", "f_frsize")
        return {key: getattr(found, key) for key in (*keys, "f_favail", "f_flag", "f_namemax")}

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return a part of a file."""
        return os.pread(fh, size, offset)

    # Names and sizes: durable at once.

    def create(self, path: str, mode: int, fi: object = None) -> int:
        """Make and open a file."""
        os.close(os.open(self._durable + path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode))
        return os.open(self._live + path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)

    def open(self, path: str, flags: int) -> int:
        """Open a file; the kernel gives each write its place, also when it appends."""
        opened = os.open(self._live + path, flags & ~os.O_APPEND)
        if flags & os.O_TRUNC:
            self.truncate(path, 0)
        return opened

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Shorten or lengthen a file; what is cut off is gone for good."""
        with self._lock:
            os.truncate(self._live + path, length)
            if os.path.getsize(self._durable + path) > length:
                os.truncate(self._durable + path, length)
        return 0

    def rename(self, old: str, new: str) -> int:
        """Rename; what stands there is replaced."""
        with self._lock:
            os.replace(self._live + old, self._live + new)
            os.replace(self._durable + old, self._durable + new)
        return 0

    def link(self, target: str, source: str) -> int:
        """Give `source` the second name `target`."""
        self._both(lambda root: os.link(root + source, root + target))
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file."""
        self._both(lambda root: os.unlink(root + path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """Make a folder."""
        self._both(lambda root: os.mkdir(root + path, mode))
        return 0

    def rmdir(self, path: str) -> int:
        """Remove a folder."""
        self._both(lambda root: os.rmdir(root + path))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """Set the mode."""
        self._both(lambda root: os.chmod(root + path, mode))
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """Set the owner."""
        self._both(lambda root: os.chown(root + path, uid, gid))
        return 0

    def utimens(self, path: str, times: tuple[int, int]) -> int:
        """Set the times."""
        self._both(lambda root: os.utime(root + path, ns=times))
        return 0

    # Content: durable when it is synced.

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write a part of a file."""
        with self._lock:
            count = os.pwrite(fh, data, offset)
            inode = os.fstat(fh).st_ino
            first, after = self._dirty.get(inode, (offset, offset))
            self._dirty[inode] = (min(first, offset), max(after, offset + count))
        return count

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """Make the content durable; takes as long as `delay` says."""
        seconds = float(self._delay.read_text())
        if seconds:
            time.sleep(seconds)
        with self._lock:
            self._keep(path)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        """Do nothing: names are durable already."""
        return 0

    def release(self, path: str, fh: int) -> int:
        """Close a file."""
        os.close(fh)
        return 0

    def _keep(self, path: str) -> None:
        live = os.open(self._live + path, os.O_RDONLY)
        durable = os.open(self._durable + path, os.O_WRONLY)
        try:
            found = os.fstat(live)
            at, after = self._dirty.pop(found.st_ino, (0, 0))
            while at < after and (part := os.pread(live, min(_READ_BYTES, after - at), at)):
                at += os.pwrite(durable, part, at)
            os.ftruncate(durable, found.st_size)
        finally:
            os.close(live)
            os.close(durable)

    def _both(self, change: Callable[[str], None]) -> None:
        with self._lock:
            change(self._live)
            change(self._durable)


def main() -> None:
    """Serve until it is unmounted."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("live", "durable", "mount", "delay"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    files = LazyFiles(options.live, options.durable, options.delay)
    mfusepy.FUSE(files, str(options.mount), foreground=True, **_OPTIONS)


if __name__ == "__main__":
    main()
