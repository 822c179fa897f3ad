"""What an earlier run left in a spool's folder. Blocks: call it off the event loop.

Must not refuse to start because of damage.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from agentsight_core import wire
from agentsight_core.errors import ConfigError, MalformedFrame
from agentsight_core.recordings.records import FLAG_TOMBSTONE, Damage, Record
from agentsight_core.spool import segment as files
from agentsight_core.spool.segment import Segment
from agentsight_core.spool.segments import SpooledFrame


@dataclass(frozen=True, slots=True)
class Revived:
    """The frames that are still to be delivered."""

    segments: list[tuple[Segment, list[SpooledFrame]]]
    # In the order in which they were put.
    frames: list[SpooledFrame]
    # Of all that were ever seen here: new frames come after it.
    highest_index: int


def open_folder(folder: Path) -> int:
    """Create and lock `folder`; return the descriptor that holds the lock."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigError(
            f"{folder} is in use by another process; each agent needs a spool folder of its own"
        ) from None
    return lock


def revive(folder: Path, damage: Damage) -> Revived:
    """Read `folder`; what is damaged is counted in `damage` and left out.

    Where a tombstone and the frame that it replaces are both there, the tombstone wins.
    """
    files.forget_orphans(folder)
    found = [files.read(path, damage) for path in files.find(folder)]
    buried = {
        record.index
        for _, records, _ in found
        for record in records
        if record.flags & FLAG_TOMBSTONE
    }
    segments = [
        (segment, _frames_of(segment, records, buried, damage)) for segment, records, _ in found
    ]
    frames = sorted((f for _, mine in segments for f in mine), key=lambda frame: frame.index)
    highest = max((highest for _, _, highest in found), default=0)
    return Revived(segments, frames, highest)


def _frames_of(
    segment: Segment, records: list[Record], buried: set[int], damage: Damage
) -> list[SpooledFrame]:
    frames = []
    for record in records:
        is_tombstone = bool(record.flags & FLAG_TOMBSTONE)
        if record.index in buried and not is_tombstone:
            continue
        try:
            header = wire.decode_header(record.frame)
        except MalformedFrame:
            damage.stretches += 1
            damage.skipped_bytes += len(record.frame)
            continue
        frames.append(
            SpooledFrame(
                header,
                record.index,
                record.wall_ns,
                record.boot_ns,
                None,
                segment,
                record.offset,
                written=True,
                is_tombstone=is_tombstone,
            )
        )
    return frames
