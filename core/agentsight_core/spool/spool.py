"""The spool itself: takes frames, lends them out one per session, forgets what is acknowledged.

Runs on the event loop and does not block. Must not know who borrows the frames.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from agentsight_core.clocks import boot_ns
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.records import HEAD_BYTES, Damage
from agentsight_core.spool import segment as files
from agentsight_core.spool.recovery import Revived, open_folder, revive
from agentsight_core.spool.segment import Segment
from agentsight_core.spool.segments import TOMBSTONE_RANK, Segments, SpooledFrame
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.tombstone import tombstone
from agentsight_core.telemetry.ledger import Stage

_log = logging.getLogger(__name__)

# How much of the spool may be tombstones.
_TOMBSTONE_SHARE = 8


class Spool:
    """A bounded FrameSink on disk, to be used as an async context manager.

    A frame that has to be given up leaves a tombstone in its place, which counts as received: so
    the stage's sums meet, and the loss is told in the log where it happened.
    """

    def __init__(self, folder: Path, settings: SpoolSettings, stage: Stage) -> None:
        self._folder = folder
        self._settings = settings
        self._stage = stage
        self._segments = Segments(folder, settings, self._on_written)
        self._index = itertools.count(1)
        self._queues: dict[int, deque[SpooledFrame]] = {}
        self._ready: asyncio.Queue[int] = asyncio.Queue()
        self._cached_bytes = 0
        self._lock = -1
        self._flusher: asyncio.Task[None] | None = None
        # What was found damaged on the disk when the spool was opened.
        self.damage = Damage()

    async def __aenter__(self) -> Self:
        """Open the folder, bring back what an earlier run left, and start writing.

        Raises ConfigError when another process uses the folder.
        """
        self._lock = await asyncio.to_thread(open_folder, self._folder)
        self._take_over(await asyncio.to_thread(revive, self._folder, self.damage))
        await self._segments.flush()
        self._flusher = asyncio.create_task(self._segments.flush_forever(), name="spool")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the spool."""
        await self.close()

    @property
    def held(self) -> int:
        """How many frames wait to be acknowledged."""
        return self._stage.held

    @property
    def disk_bytes(self) -> int:
        """How many bytes the segments hold, or will hold when all is written."""
        return self._segments.size_bytes

    def apply(self, settings: SpoolSettings) -> None:
        """Go on within other bounds: the next frame makes room if they have become narrower."""
        self._settings = settings
        self._segments.apply(settings)

    # ---- taking frames in, giving frames up ----

    def put(self, header: pb.FrameHeader, frame: bytes, rank: int) -> None:
        """Take a frame; `rank` 0 is the most valuable, TOMBSTONE_RANK - 1 the least."""
        if not 0 <= rank < TOMBSTONE_RANK:
            raise ValueError(f"rank {rank}; allowed: 0 to {TOMBSTONE_RANK - 1}")
        self._stage.received += 1
        self._stage.held += 1
        entry = SpooledFrame(header, next(self._index), time.time_ns(), boot_ns(), frame)
        self._cached_bytes += len(frame)
        self._queues.setdefault(header.session, deque()).append(entry)
        reason = self._refusal(len(frame) + HEAD_BYTES, rank)
        if reason:
            self._bury(entry, reason)
        else:
            self._segments.append(entry, frame, rank)

    def _refusal(self, size: int, rank: int) -> str:
        """Make room for `size` bytes; return why that is impossible, or ""."""
        limit = min(self._settings.max_frame_bytes, self._settings.max_bytes // 4)
        if size - HEAD_BYTES > limit:
            return "too_large"
        if self._segments.unwritten_bytes + size > self._settings.max_unwritten_bytes:
            return "disk_error" if self._segments.failing else "disk_slow"
        while reason := self._shortage(size):
            victim = self._segments.victim(rank)
            if victim is None:
                return reason
            self._give_up(victim, reason)
        return ""

    def _shortage(self, size: int) -> str:
        if self._segments.size_bytes + size > self._settings.max_bytes:
            return "full"
        if self._segments.free_bytes - size < self._settings.min_free_bytes:
            return "disk_full"
        return "too_many" if self._stage.held > self._settings.max_frames else ""

    def _give_up(self, segment: Segment, reason: str) -> None:
        for entry in self._segments.frames(segment):
            if not entry.leased:
                self._bury(entry, reason)
        self._segments.close_segment(segment)

    def _bury(self, entry: SpooledFrame, reason: str) -> None:
        """Put a tombstone in the place of `entry`."""
        self._drop_content(entry)
        self._stage.drop(reason)
        if entry.is_tombstone or not self._has_room_for_tombstone():
            # The gap that this leaves in the numbering tells the worker.
            self._stage.held -= 1
            self._leave_queue(entry)
            return
        self._stage.received += 1
        entry.frame = tombstone(entry.header, reason, entry.wall_ns, entry.boot_ns)
        entry.is_tombstone = True
        self._cached_bytes += len(entry.frame)
        self._segments.append(entry, entry.frame, TOMBSTONE_RANK)
        self._announce(entry)

    def _has_room_for_tombstone(self) -> bool:
        used = self._segments.chain_bytes(TOMBSTONE_RANK)
        return (
            used < self._settings.max_bytes // _TOMBSTONE_SHARE
            and self._stage.held <= 2 * self._settings.max_frames
        )

    def _drop_content(self, entry: SpooledFrame) -> None:
        self._segments.forget(entry)
        if entry.frame is not None:
            self._cached_bytes -= len(entry.frame)
            entry.frame = None

    # ---- lending frames out ----

    async def lease(self) -> SpooledFrame:
        """Wait for a frame of a session of which no other is out; its `frame` is set."""
        while True:
            queue = self._queues.get(await self._ready.get())
            if not queue or queue[0].leased or not queue[0].written:
                continue
            entry = queue[0]
            entry.leased = True
            try:
                if entry.frame is not None or await self._load(entry):
                    return entry
            except asyncio.CancelledError:
                self.release(entry)
                raise

    async def _load(self, entry: SpooledFrame) -> bool:
        assert entry.segment is not None, "a frame is in memory or on the disk"
        entry.frame = await asyncio.to_thread(files.read_frame, entry.segment, entry.offset)
        if entry.frame is None:
            self.refuse(entry, "unreadable")
            return False
        self._cached_bytes += len(entry.frame)
        return True

    def ack(self, entry: SpooledFrame) -> None:
        """Forget the leased `entry`: the bus has it."""
        self._stage.emitted += 1
        self._stage.held -= 1
        self._drop_content(entry)
        self._leave_queue(entry)

    def release(self, entry: SpooledFrame) -> None:
        """Lend the leased `entry`, which was not delivered, out again."""
        entry.leased = False
        self._announce(entry)

    def refuse(self, entry: SpooledFrame, reason: str) -> None:
        """Put a tombstone in the place of the leased `entry`, which can never be delivered."""
        entry.leased = False
        self._bury(entry, reason)

    def _leave_queue(self, entry: SpooledFrame) -> None:
        session = entry.header.session
        queue = self._queues[session]
        queue.remove(entry)
        if queue:
            self._announce(queue[0])
        else:
            del self._queues[session]

    def _announce(self, entry: SpooledFrame) -> None:
        """Offer `entry` if it is the first of its session and in its file."""
        if entry.is_tombstone:
            # It says that something is lost: it need not be written before it may go.
            entry.written = True
        queue = self._queues[entry.header.session]
        if queue[0] is entry and entry.written and not entry.leased:
            self._ready.put_nowait(entry.header.session)

    def _on_written(self, entry: SpooledFrame) -> None:
        self._announce(entry)
        on_disk = not self._segments.failing
        if entry.frame and on_disk and self._cached_bytes > self._settings.cache_bytes:
            self._cached_bytes -= len(entry.frame)
            entry.frame = None

    # ---- opening, closing ----

    def _take_over(self, revived: Revived) -> None:
        self._index = itertools.count(revived.highest_index + 1)
        self._segments.recover(revived.segments)
        for entry in revived.frames:
            self._queues.setdefault(entry.header.session, deque()).append(entry)
        for queue in self._queues.values():
            self._announce(queue[0])
        self._stage.received += len(revived.frames)
        self._stage.held += len(revived.frames)

    async def drain(self) -> None:
        """Return when everything put so far, and still here, survives a power failure."""
        await self._segments.drain()

    async def close(self) -> None:
        """Write what is not yet written and stop; frames stay on the disk for the next run."""
        if self._flusher:
            self._segments.stop()
            await self._flusher
            self._flusher = None
            if not await self._segments.flush(durable=True):
                _log.error("the spool is closed with %d frames held", self.held)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
