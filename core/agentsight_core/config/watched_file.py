"""Notices that a configuration file was changed, and never takes it half-written.

Looks at what the path leads to, so that the symbolic links of a Kubernetes ConfigMap (`..data` is
swapped) count as a change. Must not know what the file says.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from dataclasses import dataclass
from pathlib import Path

# Not in the fcntl module of Python 3.11: linux/fcntl.h, F_LINUX_SPECIFIC_BASE - 1014.
_F_SETSIG = 10
# The file system or our rights allow no lease.
_NO_LEASE = {errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOLCK, errno.EOPNOTSUPP}


@dataclass(frozen=True, slots=True)
class _Identity:
    """Which file the path leads to, and which content of it."""

    device: int
    inode: int
    changed_ns: int
    size: int


class WatchedFile:
    """A file that is asked from time to time, say every second, whether there is a new text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: _Identity | None = None
        self._taken: _Identity | None = None

    def poll(self) -> str | None:
        """Return the text if it is new and at rest, else None.

        A new text is at rest when two polls have found it the same and, where the system tells,
        nobody has the file open for writing. The first text is new. Raises OSError when the file
        cannot be read and UnicodeDecodeError when it is no text, each once a change.
        """
        descriptor = self._open()
        if descriptor is None:
            return None
        try:
            found = _identity(descriptor)
            rested, self._seen = found == self._seen, found
            if not rested or found == self._taken or not _lease(descriptor):
                return None
            data = _read(descriptor, found.size)
            # Without a lease somebody may have written meanwhile.
            if data is None or _identity(descriptor) != found:
                return None
            self._taken = found
            return data.decode("utf-8")
        finally:
            os.close(descriptor)

    def take(self) -> None:
        """Regard the text as it is now as taken."""
        descriptor = self._open()
        if descriptor is not None:
            self._seen = self._taken = _identity(descriptor)
            os.close(descriptor)

    def forget(self) -> None:
        """Let the text that was polled last be new again."""
        self._taken = None

    def _open(self) -> int | None:
        """Open the file; None while it is missing, which a replacement may need a moment for."""
        try:
            # O_NONBLOCK: somebody may have put a pipe there.
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None


def _identity(descriptor: int) -> _Identity:
    status = os.fstat(descriptor)
    return _Identity(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _lease(descriptor: int) -> bool:
    """Say whether nobody has the file open for writing; True too where that cannot be known.

    A read lease (fcntl(2), F_SETLEASE) is given only then, and makes writers wait until the
    descriptor is closed.
    """
    try:
        # The signal for a waiting writer: the usual one would end the process, this is ignored.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return False
        if error.errno not in _NO_LEASE:
            raise
    return True


def _read(descriptor: int, size: int) -> bytes | None:
    """Return the whole content; None if the file is not as long as it says."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        data = file.read(size + 1)
    return data if len(data) == size else None
