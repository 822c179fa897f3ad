"""A file of lines that survives crashes and stays within a bound.

`PATH` is being written; `PATH.1` … `PATH.<keep>` are older ones, 1 the youngest. Must not know what
the lines mean.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agentsight_core.errors import Retryable

_log = logging.getLogger(__name__)
_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class RotationSettings:
    """When a new file is begun and how many old ones stay."""

    max_file_bytes: int = 128 * 1024 * 1024
    # Older files beside the one being written, at least 1; the oldest is deleted, which is logged
    # and counted.
    keep: int = 7


class RotatingFile:
    """Appends lines durably; a context manager that repairs a torn last line when it opens."""

    def __init__(self, path: Path, settings: RotationSettings | None = None) -> None:
        self._path = path
        self._settings = settings or RotationSettings()
        self._descriptor = -1
        self._size_bytes = 0
        # A write failed half-way: what stands behind `_size_bytes` is to be cut.
        self._torn = False
        # `append` runs in a thread; a cancelled caller may come back while it still writes.
        self._lock = threading.Lock()
        # Bytes in files that rotation has deleted since the file was opened.
        self.deleted_bytes = 0
        # Bytes of a torn last line that were cut at open: never acknowledged, so sent again.
        self.repaired_bytes = 0

    def __enter__(self) -> Self:
        """Open the file, make its directory, cut a torn last line; raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._open()
        self._repair()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1

    def tail(self, max_bytes: int) -> list[bytes]:
        """Return the last lines of the file, and of the one before it, of up to `max_bytes`.

        Raises OSError.
        """
        data = b""
        for path in (self._path, self._numbered(1)):
            if len(data) >= max_bytes or not path.exists():
                break
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - (max_bytes - len(data))))
                data = file.read() + data
        # The first one may be cut, which its reader sees.
        return data.split(b"\n")

    def append(self, lines: Sequence[bytes]) -> None:
        """Write `lines` (each without its line feed) and fsync; all of them or none.

        Raises Retryable when the file system refuses (full, read-only, I/O error).
        """
        data = b"".join(line + b"\n" for line in lines)
        limit_bytes = self._settings.max_file_bytes
        with self._lock:
            try:
                if self._size_bytes and self._size_bytes + len(data) > limit_bytes:
                    self._rotate()
                self._write(data)
            except OSError as error:
                raise Retryable(f"cannot append to {self._path}: {error.strerror}") from error

    def _write(self, data: bytes) -> None:
        if self._torn:
            os.ftruncate(self._descriptor, self._size_bytes)
        self._torn = True
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)
        self._size_bytes += len(data)
        self._torn = False

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        # Findings may hold what people said: for the owner only.
        descriptor = os.open(self._path, flags, 0o600)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._size_bytes = os.fstat(descriptor).st_size
        self._torn = False
        self._sync_directory()

    def _repair(self) -> None:
        end = self._size_bytes
        while end:
            start = max(0, end - _TAIL_BYTES)
            newline = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end == self._size_bytes:
            return
        self.repaired_bytes = self._size_bytes - end
        _log.warning("%s ended in a torn line: cut %d bytes", self._path, self.repaired_bytes)
        os.ftruncate(self._descriptor, end)
        os.fsync(self._descriptor)
        self._size_bytes = end

    def _rotate(self) -> None:
        # After a rotation that failed half-way there is no file at the path: shift nothing twice.
        if self._path.exists():
            self._delete_oldest()
            for number in range(self._settings.keep - 1, -1, -1):
                if self._numbered(number).exists():
                    self._numbered(number).rename(self._numbered(number + 1))
        self._open()

    def _delete_oldest(self) -> None:
        oldest = self._numbered(self._settings.keep)
        if oldest.exists():
            self.deleted_bytes += oldest.stat().st_size
            _log.info("%s is deleted: %d older files are kept", oldest, self._settings.keep)
            oldest.unlink()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _sync_directory(self) -> None:
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
