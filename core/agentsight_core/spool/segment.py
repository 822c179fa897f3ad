"""Segment files: the append-only files a spool is made of, and what has been acknowledged of them.

Beside each segment lies a file of acknowledgements, so that a restart does not bring back what is
already on the bus. Functions here block: call them off the event loop.

Must not decide what is kept or dropped.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from agentsight_core.recordings.records import (
    FILE_MAGIC,
    HEAD_BYTES,
    Damage,
    Record,
    read_records,
)

_ACK = struct.Struct("<QI")
_SUFFIX = ".seg"
_ACK_SUFFIX = ".ack"


@dataclass(slots=True, eq=False)
class Segment:
    """One file with records of one rank, and what is not yet written of it."""

    path: Path
    rank: int
    # What the file holds when all that was appended is written.
    size_bytes: int = len(FILE_MAGIC)
    # Takes no more records.
    closed: bool = False
    # Appended, not yet written.
    records: list[bytes] = field(default_factory=list)
    acks: list[int] = field(default_factory=list)
    # Bytes that are in the file for certain: where it is cut after a failed write.
    written_bytes: int = 0
    # Bytes that survive a power failure.
    synced_bytes: int = 0
    # A thread is writing it.
    busy: bool = False

    @property
    def ack_path(self) -> Path:
        """Where the acknowledgements of this segment are written."""
        return self.path.with_suffix(_ACK_SUFFIX)


def segment_path(folder: Path, rank: int, first_index: int) -> Path:
    """Return the file for a segment of `rank` whose first record is `first_index`."""
    return folder / f"{rank:03d}-{first_index:016x}{_SUFFIX}"


def _first_index(path: Path) -> int:
    """Return the index that the name of a segment says; 0 if it is not named by `segment_path`."""
    try:
        return int(path.stem.rpartition("-")[2], 16)
    except ValueError:
        return 0


def free_bytes(folder: Path) -> int:
    """Return how much more the file system of `folder` takes from us; raises OSError."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def write_acks(segment: Segment, acks: list[int]) -> None:
    """Append `acks`; raises OSError.

    They are not synced: after a power failure some frames go to the bus again, where their numbers
    tell, and that is cheaper than a sync each time.
    """
    if acks:
        with segment.ack_path.open("ab") as file:
            file.write(b"".join(encode_ack(index) for index in acks))


def write_records(segment: Segment, records: list[bytes]) -> None:
    """Append `records`, which survive this process on return; raises OSError."""
    if not records:
        return
    new = segment.written_bytes == 0
    descriptor = os.open(segment.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        # Cuts what a failed write may have left behind.
        file.truncate(segment.written_bytes)
        file.seek(segment.written_bytes)
        data = b"".join([FILE_MAGIC, *records] if new else records)
        written = 0
        while written < len(data):
            written += file.write(memoryview(data)[written:]) or 0
    segment.written_bytes += len(data)


def sync(segment: Segment) -> None:
    """Have what is written survive a power failure, too; raises OSError."""
    written = segment.written_bytes
    descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    if not segment.synced_bytes:
        sync_folder(segment.path.parent)
    segment.synced_bytes = written


def read(path: Path, damage: Damage) -> tuple[Segment, list[Record], int]:
    """Return a segment found on the disk, its unacknowledged records, and its highest index.

    The segment is closed. Damage is counted, not raised: a spool always starts.
    """
    acks = _read_acks(path.with_suffix(_ACK_SUFFIX))
    with path.open("rb") as file:
        file.read(len(FILE_MAGIC))
        records = list(read_records(file, damage, len(FILE_MAGIC)))
    last = records[-1] if records else None
    size = last.offset + HEAD_BYTES + len(last.frame) if last else len(FILE_MAGIC)
    # The torn tail has been counted: it need not be met again.
    os.truncate(path, size)
    rank = records[0].rank if records else 0
    segment = Segment(path, rank, size, closed=True, written_bytes=size)
    pending = [record for record in records if record.index not in acks]
    # The name counts, too: as long as this file is there, no other segment may have its place.
    return segment, pending, max([_first_index(path), *(record.index for record in records)])


def read_frame(segment: Segment, offset: int) -> bytes | None:
    """Return the frame of the record at `offset`, or None if it can no longer be read."""
    try:
        with segment.path.open("rb") as file:
            file.seek(offset)
            damage = Damage()
            record = next(iter(read_records(file, damage, offset)), None)
    except OSError:
        return None
    return record.frame if record and record.offset == offset else None


def delete(segment: Segment) -> None:
    """Remove the segment's files."""
    segment.path.unlink(missing_ok=True)
    segment.ack_path.unlink(missing_ok=True)


def find(folder: Path) -> list[Path]:
    """Return the segments in `folder`."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def forget_orphans(folder: Path) -> None:
    """Remove acknowledgements whose segment a power failure took.

    The next segment with that name holds other records, which nobody has acknowledged.
    """
    for path in folder.glob(f"*{_ACK_SUFFIX}"):
        if not path.with_suffix(_SUFFIX).exists():
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names of new files in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encode_ack(index: int) -> bytes:
    """Return the bytes that say that record `index` is on the bus."""
    return _ACK.pack(index, zlib.crc32(index.to_bytes(8, "little")))


def _read_acks(path: Path) -> set[int]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return set()
    whole = len(data) - len(data) % _ACK.size
    if whole != len(data):
        # A torn tail would put every later one out of step.
        os.truncate(path, whole)
    return {
        index
        for index, checksum in _ACK.iter_unpack(data[:whole])
        if checksum == zlib.crc32(index.to_bytes(8, "little"))
    }
