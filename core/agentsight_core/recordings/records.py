"""The record format that spool segments and recording files share.

A file begins with `FILE_MAGIC`; then records follow: a fixed head and a serialized frame. Every
record has a checksum and a mark to find it by: a damaged stretch costs the records in it, no more.

Must not know files by name, the spool, or what a frame means.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# The last byte is the version of the format.
FILE_MAGIC = b"ASFRAME\x01"
# Not valid UTF-8 and unlikely in compressed data: what a reader looks for after damage.
RECORD_MARK = b"\xf5\xa5FR"
# mark, frame bytes, CRC-32 | index, wall_ns, boot_ns, rank, flags
_HEAD = struct.Struct("<4sII")
_FIELDS = struct.Struct("<QQQBBxx")
HEAD_BYTES = _HEAD.size + _FIELDS.size
# Larger than any frame (wire.MAX_BATCH_BYTES, uncompressed): a length above it is damage.
MAX_FRAME_BYTES = 80 * 1024 * 1024
_READ_BYTES = 1 << 20

FLAG_TOMBSTONE = 1


@dataclass(frozen=True, slots=True)
class Record:
    """One frame in a file, and where it lies there."""

    frame: bytes
    # Position in the order in which frames were put; a tombstone has that of what it replaces.
    index: int
    # When the frame was put.
    wall_ns: int
    boot_ns: int
    # 0 is the most valuable class of frames.
    rank: int
    flags: int = 0
    # Where the record begins in the file; 0 until it was read from one.
    offset: int = 0


@dataclass(slots=True)
class Damage:
    """What a reader had to skip."""

    stretches: int = 0
    skipped_bytes: int = 0


def encode_record(record: Record) -> bytes:
    """Return the bytes of `record`; its length is HEAD_BYTES more than that of the frame."""
    fields = _FIELDS.pack(record.index, record.wall_ns, record.boot_ns, record.rank, record.flags)
    checksum = _checksum(fields, record.frame)
    return _HEAD.pack(RECORD_MARK, len(record.frame), checksum) + fields + record.frame


def read_records(stream: BinaryIO, damage: Damage, offset: int = 0) -> Iterator[Record]:
    """Yield the intact records of `stream`, which stands behind the file magic, at `offset`.

    A torn tail and damaged stretches are skipped and counted in `damage`, never raised.
    """
    window = _Window(stream, offset)
    while window.fill(HEAD_BYTES) or window.data:
        record = _parse(window)
        if record is None:
            _resynchronize(window, damage)
            continue
        window.advance(HEAD_BYTES + len(record.frame))
        yield record


class _Window:
    """The part of a stream that has been read and not yet used."""

    def __init__(self, stream: BinaryIO, offset: int) -> None:
        self._stream = stream
        self.offset = offset
        self.data = bytearray()
        # Where the last damaged stretch ended: damage that goes on there is the same stretch.
        self.damaged_until = -1

    def fill(self, size: int) -> bool:
        """Read until `size` bytes are there; False when the stream ends before."""
        while len(self.data) < size:
            more = self._stream.read(max(size - len(self.data), _READ_BYTES))
            if not more:
                return False
            self.data += more
        return True

    def advance(self, size: int) -> None:
        del self.data[:size]
        self.offset += size


def _parse(window: _Window) -> Record | None:
    if len(window.data) < HEAD_BYTES:
        return None
    mark, size, checksum = _HEAD.unpack_from(window.data)
    if mark != RECORD_MARK or size > MAX_FRAME_BYTES or not window.fill(HEAD_BYTES + size):
        return None
    fields = bytes(window.data[_HEAD.size : HEAD_BYTES])
    frame = bytes(window.data[HEAD_BYTES : HEAD_BYTES + size])
    if _checksum(fields, frame) != checksum:
        return None
    index, wall_ns, boot_ns, rank, flags = _FIELDS.unpack(fields)
    return Record(frame, index, wall_ns, boot_ns, rank, flags, window.offset)


def _checksum(fields: bytes, frame: bytes) -> int:
    return zlib.crc32(frame, zlib.crc32(fields, len(frame)))


def _resynchronize(window: _Window, damage: Damage) -> None:
    """Skip to the next record mark, or to the end of the stream."""
    start = window.offset
    if start != window.damaged_until:
        damage.stretches += 1
    window.advance(1)
    while (found := window.data.find(RECORD_MARK)) < 0:
        # A mark may be cut by the end of the window: its first bytes stay.
        window.advance(max(len(window.data) - len(RECORD_MARK) + 1, 0))
        if not window.fill(len(window.data) + 1):
            found = len(window.data)
            break
    window.advance(found)
    window.damaged_until = window.offset
    damage.skipped_bytes += window.offset - start
