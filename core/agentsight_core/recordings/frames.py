"""Recording files: frames kept for `replay`, written by `record` and read by anybody.

Must not interpret events.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from agentsight_core import wire
from agentsight_core.clocks import boot_ns
from agentsight_core.errors import MalformedFrame, Permanent
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.records import (
    FILE_MAGIC,
    Damage,
    Record,
    encode_record,
    read_records,
)

_GZIP_MAGIC = b"\x1f\x8b"


class FrameSink(Protocol):
    """Where an agent's pipeline puts its frames: a spool, or a recording file."""

    def put(self, header: pb.FrameHeader, frame: bytes, rank: int) -> None:
        """Take a serialized frame; never blocks, never raises for a full or failing disk.

        `rank` is the class of the frame: 0 is the most valuable, larger ones are given up first.
        """
        ...

    async def drain(self) -> None:
        """Return when everything put so far is where it should go."""
        ...

    async def close(self) -> None:
        """Free what is held open; frames put before are kept."""
        ...


class RecordingWriter:
    """A FrameSink that appends frames to a file which must not exist yet (mode 0600).

    A failing disk is counted in `dropped` and reported by `drain`.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=1 << 20)
        self._file.write(FILE_MAGIC)
        self._path = path
        self._failure: OSError | None = None
        self.frames = 0
        self.dropped = 0

    def put(self, header: pb.FrameHeader, frame: bytes, rank: int) -> None:
        """Append `frame`; it is in the file for certain after `drain`."""
        del header
        self.frames += 1
        record = Record(frame, self.frames, time.time_ns(), boot_ns(), rank)
        try:
            self._file.write(encode_record(record))
        except OSError as error:
            self.dropped += 1
            self._failure = error

    async def drain(self) -> None:
        """Return when everything put so far is on the disk; raise Permanent if it is not."""
        try:
            await asyncio.to_thread(self._sync)
        except OSError as error:
            self._failure = error
        if self._failure:
            raise Permanent(
                f"{self._path} is incomplete, {self.dropped} of {self.frames} frames are missing: "
                f"{self._failure}"
            ) from self._failure

    def _sync(self) -> None:
        self._file.flush()
        os.fdatasync(self._file.fileno())

    async def close(self) -> None:
        """Write what is buffered and close the file."""
        await asyncio.to_thread(self._file.close)


def is_recording(head: bytes) -> bool:
    """Tell whether a file beginning with `head` (8 bytes, uncompressed) is a recording of ours."""
    return head[: len(FILE_MAGIC) - 1] == FILE_MAGIC[:-1]


def read_recording(
    stream: BinaryIO, damage: Damage | None = None
) -> Iterator[tuple[pb.FrameHeader, Sequence[pb.Event]]]:
    """Yield header and events of each frame of a recording or spool segment, plain or gzipped.

    A torn tail, damaged stretches and frames that cannot be decoded are skipped and counted in
    `damage`. Raises Permanent when `stream` is no recording of ours at all.
    """
    damage = damage if damage is not None else Damage()
    source = _decompressed(stream)
    head = source.read(len(FILE_MAGIC))
    if not is_recording(head):
        raise Permanent(f"no recording: the file begins with {head!r}, not with {FILE_MAGIC!r}")
    if head != FILE_MAGIC:
        raise Permanent(
            f"a recording of format {head[-1:].hex()}; this version reads {FILE_MAGIC[-1:].hex()}"
        )
    for record in read_records(source, damage, len(FILE_MAGIC)):
        try:
            yield wire.decode_frame(record.frame)
        except MalformedFrame:
            damage.stretches += 1
            damage.skipped_bytes += len(record.frame)


def _decompressed(stream: BinaryIO) -> BinaryIO:
    peekable = stream if isinstance(stream, BufferedReader) else BufferedReader(stream)  # type: ignore[type-var]  # any BinaryIO has what BufferedReader calls
    if peekable.peek(2)[:2] == _GZIP_MAGIC:
        return cast("BinaryIO", _TornGzip(gzip.GzipFile(fileobj=peekable)))
    return peekable


class _TornGzip:
    """A gzip stream that ends where it was cut, as a plain file does."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read1(size)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return b""
