"""Bounds of a spool."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """What a spool may use; at a bound, the least valuable frames are given up."""

    # On the disk.
    max_bytes: int = 1 << 30
    # Each costs about a kilobyte of memory for as long as it is held.
    max_frames: int = 500_000
    # Space that stays free on the file system for others.
    min_free_bytes: int = 512 << 20
    segment_bytes: int = 8 << 20
    # A frame that the bus would not take.
    max_frame_bytes: int = 7 << 20
    # Memory for frames that are on the disk too, so that they need not be read again.
    cache_bytes: int = 32 << 20
    # Memory for frames that a slow or failing disk has not taken yet.
    max_unwritten_bytes: int = 64 << 20
