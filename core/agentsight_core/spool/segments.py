"""All segments of a spool: where the next record goes, what the disk holds, and how it gets there.

Runs on the event loop; one thread at a time writes and syncs. What is written survives this
process. It is synced, so that it survives a power failure, too, when nobody has taken it for a
moment: most frames are on the bus before.

Must not know sessions or the order in which frames leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.clocks import boot_ns
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.records import FLAG_TOMBSTONE, Record, encode_record
from agentsight_core.spool import segment as files
from agentsight_core.spool.segment import Segment
from agentsight_core.spool.settings import SpoolSettings

_log = logging.getLogger(__name__)

# Tombstones have a chain of segments of their own, which is never given up.
TOMBSTONE_RANK = 255
_RETRY_SECONDS = 1.0
_ACK_SECONDS = 1.0
# A frame that is still here after this is synced. A sync has the file system write what others have
# written, too.
_SYNC_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class SpooledFrame:
    """A frame that the spool holds."""

    header: pb.FrameHeader
    index: int
    wall_ns: int
    boot_ns: int
    # None when it has to be read from the disk.
    frame: bytes | None
    # None until it has a place on the disk.
    segment: Segment | None = None
    offset: int = 0
    written: bool = False
    leased: bool = False
    is_tombstone: bool = False


class Segments:
    """The segments and the frames in them that still matter."""

    def __init__(
        self,
        folder: Path,
        settings: SpoolSettings,
        on_written: Callable[[SpooledFrame], None],
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._on_written = on_written
        self._frames: dict[Segment, dict[int, SpooledFrame]] = {}
        self._active: dict[int, Segment] = {}
        self._doomed: list[Segment] = []
        self._unwritten: list[SpooledFrame] = []
        self._dirty = asyncio.Event()
        self._closing = asyncio.Event()
        self._flushed = asyncio.Condition()
        # How many wait in `drain`.
        self._draining = 0
        self.size_bytes = 0
        self.free_bytes = 0
        self.unwritten_bytes = 0
        # The last write failed.
        self.failing = False

    def apply(self, settings: SpoolSettings) -> None:
        """Take other bounds; segments that are there keep their size."""
        self._settings = settings

    def recover(self, found: list[tuple[Segment, list[SpooledFrame]]]) -> None:
        """Take over segments of an earlier run with the frames in them that still matter."""
        # A disk that refuses the first flush is not a full one.
        self.free_bytes = files.free_bytes(self._folder)
        for segment, frames in found:
            self._frames[segment] = {frame.index: frame for frame in frames}
            self.size_bytes += segment.size_bytes
            if not frames:
                self._doom(segment)

    def append(self, entry: SpooledFrame, frame: bytes, rank: int) -> None:
        """Give `entry` a place; the next flush writes it."""
        flags = FLAG_TOMBSTONE if entry.is_tombstone else 0
        data = encode_record(Record(frame, entry.index, entry.wall_ns, entry.boot_ns, rank, flags))
        segment = self._segment_for(rank, entry.index, len(data))
        entry.segment, entry.offset = segment, segment.size_bytes
        segment.records.append(data)
        segment.size_bytes += len(data)
        self._frames[segment][entry.index] = entry
        self._unwritten.append(entry)
        self.size_bytes += len(data)
        self.free_bytes -= len(data)
        self.unwritten_bytes += len(data)
        self._dirty.set()

    def _segment_for(self, rank: int, index: int, size: int) -> Segment:
        active = self._active.get(rank)
        if active and active.size_bytes + size > self._settings.segment_bytes:
            self.close_segment(active)
            active = None
        if active is None:
            active = Segment(files.segment_path(self._folder, rank, index), rank)
            self._active[rank] = active
            self._frames[active] = {}
            self.size_bytes += active.size_bytes
        return active

    def forget(self, entry: SpooledFrame) -> None:
        """Let the disk no longer hold `entry`."""
        segment = entry.segment
        if segment is None:
            return
        entry.segment = None
        del self._frames[segment][entry.index]
        segment.acks.append(entry.index)
        self._doom_if_done(segment)

    def close_segment(self, segment: Segment) -> None:
        """Append no more to `segment`, and delete it when nothing in it matters."""
        segment.closed = True
        if self._active.get(segment.rank) is segment:
            del self._active[segment.rank]
        self._doom_if_done(segment)

    def _doom_if_done(self, segment: Segment) -> None:
        if segment.closed and segment in self._frames and not self._frames[segment]:
            self._doom(segment)

    def _doom(self, segment: Segment) -> None:
        """Let a flush delete the file, after it has written what replaces the frames in it."""
        del self._frames[segment]
        self.size_bytes -= segment.size_bytes
        self.free_bytes += segment.size_bytes
        self.unwritten_bytes -= sum(len(data) for data in segment.records)
        segment.records.clear()
        self._doomed.append(segment)
        self._dirty.set()

    def frames(self, segment: Segment) -> list[SpooledFrame]:
        """Return the frames in `segment` that still matter."""
        return list(self._frames[segment].values())

    def victim(self, rank: int) -> Segment | None:
        """Return the oldest segment of the least valuable rank from `rank` on, if there is one."""
        candidates = (
            segment
            for segment, frames in self._frames.items()
            if rank <= segment.rank < TOMBSTONE_RANK
            and not segment.busy
            and any(not frame.leased for frame in frames.values())
        )
        return max(candidates, key=lambda segment: segment.rank, default=None)

    def chain_bytes(self, rank: int) -> int:
        """Return the size of the segments of `rank`."""
        return sum(segment.size_bytes for segment in self._frames if segment.rank == rank)

    # ---- writing ----

    async def flush_forever(self) -> None:
        """Write what is appended, and sync what has to be, all that has come in the meantime."""
        while not self._closing.is_set():
            holding = any(self._frames.values())
            await _wait(self._dirty, _SYNC_SECONDS if holding else _ACK_SECONDS)
            if not await self.flush(durable=self._draining > 0):
                await _wait(self._closing, _RETRY_SECONDS)

    def stop(self) -> None:
        """Let `flush_forever` return after one more flush."""
        self._closing.set()
        self._dirty.set()

    async def flush(self, *, durable: bool = False) -> bool:
        """Write everything appended before the call; False when the disk refused some of it.

        Sync what has waited for long, or, if `durable`, all that still matters.
        """
        self._dirty.clear()
        unsynced = [segment for segment in self._frames if self._is_to_sync(segment, durable)]
        jobs = list(self._take_jobs())
        doomed, self._doomed = self._doomed, []
        entries, self._unwritten = self._unwritten, []
        try:
            self.free_bytes = await asyncio.to_thread(_write, self._folder, jobs, unsynced, doomed)
            self.failing = False
        except OSError as error:
            if not self.failing:
                _log.error("the spool cannot be written, frames stay in memory: %s", error)
            self.failing = True
            self._doomed = doomed + self._doomed
        finally:
            self._settle(jobs, entries)
        async with self._flushed:
            self._flushed.notify_all()
        return not self.failing

    def _is_to_sync(self, segment: Segment, durable: bool) -> bool:
        since_ns = self._unsynced_since_ns(segment)
        if since_ns is None:
            return False
        # A tombstone lets frames go that may have been safe.
        if durable or segment.rank == TOMBSTONE_RANK:
            return True
        waited_ns = boot_ns() - since_ns
        # What is from a later time than now is from an earlier boot.
        return not 0 <= waited_ns < _SYNC_SECONDS * 1e9

    def _unsynced_since_ns(self, segment: Segment) -> int | None:
        """Return the boot time of the oldest frame that a power failure would take."""
        since_ns = None
        for entry in reversed(self._frames[segment].values()):
            if entry.offset < segment.synced_bytes:
                break
            since_ns = entry.boot_ns
        return since_ns

    def _take_jobs(self) -> Iterator[_Job]:
        for segment in self._frames:
            if segment.records or segment.acks:
                yield _Job(segment, segment.records, segment.acks)
                segment.records, segment.acks, segment.busy = [], [], True

    def _settle(self, jobs: list[_Job], entries: list[SpooledFrame]) -> None:
        """Note what is written, and put back what is not."""
        for job in jobs:
            job.segment.busy = False
            job.segment.records = job.records + job.segment.records
            job.segment.acks = job.acks + job.segment.acks
        self.unwritten_bytes = sum(
            len(data) for segment in self._frames for data in segment.records
        )
        for entry in entries:
            segment = entry.segment
            # A frame that the disk refuses goes to the bus from memory.
            entry.written = True
            if segment is not None:
                self._on_written(entry)

    async def drain(self) -> None:
        """Return when everything appended before the call survives a power failure."""
        self._draining += 1
        try:
            self._dirty.set()
            async with self._flushed:
                await self._flushed.wait_for(self._is_durable)
        finally:
            self._draining -= 1

    def _is_durable(self) -> bool:
        written = not self._unwritten and not self.unwritten_bytes
        return written and all(self._unsynced_since_ns(one) is None for one in self._frames)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


@dataclass(slots=True)
class _Job:
    segment: Segment
    records: list[bytes]
    acks: list[int]


def _write(folder: Path, jobs: list[_Job], unsynced: list[Segment], doomed: list[Segment]) -> int:
    """Do the `jobs`, clearing what is done, sync, then delete; return the free space in bytes."""
    for job in jobs:
        files.write_records(job.segment, job.records)
        job.records = []
    for segment in unsynced:
        files.sync(segment)
    # After all records: among them are tombstones of what is acknowledged for their sake.
    for job in jobs:
        files.write_acks(job.segment, job.acks)
        job.acks = []
    for segment in doomed:
        files.delete(segment)
    return files.free_bytes(folder)
