"""The spool against a model: synced frames survive any crash, acknowledged ones stay away."""

import asyncio
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

from agentsight_core import wire
from agentsight_core.recordings.records import FILE_MAGIC
from agentsight_core.spool import segment as files
from agentsight_core.spool.segments import TOMBSTONE_RANK
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.numbered_frames import numbered_frame
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

BOUNDS = SpoolSettings(
    max_bytes=96 << 10,
    min_free_bytes=0,
    segment_bytes=16 << 10,
    max_frame_bytes=15 << 10,
    cache_bytes=16 << 10,
)
SESSIONS = st.integers(1, 3)
RANKS = st.integers(0, 2)
SIZES = st.sampled_from([0, 300, 4_000, 12_000])


class SpoolMachine(RuleBasedStateMachine):
    """Drives a spool; a crash leaves a torn tail of whatever was not synced, or no file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        # Bytes of each file that survive a power failure.
        self.safe: dict[Path, int] = {}
        self.syncing = patch.object(files.os, "fdatasync", self.sync_file)
        self.syncing.start()
        self.runner = asyncio.Runner()
        self.seqs: dict[int, int] = defaultdict(int)
        self.frames: dict[tuple[int, int], bytes] = {}
        self.unsynced: set[tuple[int, int]] = set()
        self.acked: set[tuple[int, int]] = set()
        self.acked_unsynced: set[tuple[int, int]] = set()
        self.open()

    def sync_file(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.safe[path] = path.stat().st_size

    def open(self) -> None:
        self.stage = Ledger().stage("spool", "frames")
        self.spool = Spool(self.folder, BOUNDS, self.stage)
        # The test alone says when files are written: else a crash would race with the writer.
        segments = self.spool._segments
        segments.flush_forever = segments._closing.wait
        self.runner.run(self.spool.__aenter__())

    @rule(
        session=SESSIONS,
        rank=RANKS,
        size=SIZES,
        count=st.integers(1, 4),
    )
    def put(self, session: int, rank: int, size: int, count: int) -> None:
        for _ in range(count):
            self.seqs[session] += 1
            seq = self.seqs[session]
            header, frame = numbered_frame(session, seq)
            frame += b"\x7a" + varint(size) + bytes(size)  # an unknown field: still a frame
            self.frames[session, seq] = frame
            self.unsynced.add((session, seq))
            self.spool.put(header, frame, rank)
        # With no room left even for tombstones a frame goes without one.
        untold = self.expected() - self.held()
        if untold:
            used = self.spool._segments.chain_bytes(TOMBSTONE_RANK)
            assert used >= BOUNDS.max_bytes // 8
            for key in untold:
                del self.frames[key]
            self.unsynced -= untold

    @rule()
    def write(self) -> None:
        assert self.runner.run(self.spool._segments.flush())

    @rule()
    def sync(self) -> None:
        assert self.runner.run(self.spool._segments.flush(durable=True))
        self.runner.run(self.spool.drain())
        self.unsynced.clear()
        self.acked |= self.acked_unsynced
        self.acked_unsynced.clear()

    @precondition(lambda self: self.spool.held)
    @rule(count=st.integers(1, 4))
    def deliver(self, count: int) -> None:
        self.write()
        for _ in range(min(count, self.spool.held)):
            entry = self.runner.run(self.spool.lease())
            self.check(entry)
            self.spool.ack(entry)
            self.acked_unsynced.add((entry.header.session, entry.header.seq))

    @precondition(lambda self: self.spool.held)
    @rule()
    def deliver_in_vain(self) -> None:
        self.write()
        entry = self.runner.run(self.spool.lease())
        self.spool.release(entry)

    @rule(torn=st.floats(0, 1))
    def lose_power(self, torn: float) -> None:
        self.crash(torn, self.safe)
        # What is there now is on the disk.
        self.safe = {path: path.stat().st_size for path in self.folder.glob("*.seg")}
        self.unsynced.clear()

    @rule(torn=st.floats(0, 1))
    def kill(self, torn: float) -> None:
        self.crash(torn, {path: path.stat().st_size for path in self.folder.glob("*.seg")})

    def crash(self, torn: float, safe: Mapping[Path, int]) -> None:
        """Keep of each file what is `safe`, and so much of the rest as `torn` says."""
        segments = list(self.spool._segments._frames)
        self.abandon()
        for segment in segments:
            written = segment.path.read_bytes() if segment.path.exists() else FILE_MAGIC
            data = written + b"".join(segment.records)
            kept = safe.get(segment.path, 0)
            kept += int((len(data) - kept) * torn)
            if kept:
                segment.path.write_bytes(data[:kept])
            else:
                segment.path.unlink(missing_ok=True)
        self.open()
        self.compare_with_model()

    @rule()
    def restart(self) -> None:
        self.sync()
        self.runner.run(self.spool.close())
        self.open()
        assert self.spool.damage.stretches == 0
        self.compare_with_model()

    def abandon(self) -> None:
        async def cancel() -> None:
            self.spool._flusher.cancel()
            await asyncio.wait([self.spool._flusher])

        self.runner.run(cancel())
        os.close(self.spool._lock)

    def held(self) -> set[tuple[int, int]]:
        return {
            (session, entry.header.seq)
            for session, queue in self.spool._queues.items()
            for entry in queue
        }

    def expected(self) -> set[tuple[int, int]]:
        return self.frames.keys() - self.acked - self.acked_unsynced

    def compare_with_model(self) -> None:
        held, gone = self.held(), self.acked | self.acked_unsynced
        assert held >= self.expected() - self.unsynced, "a synced frame is lost"
        assert not held & self.acked, "an acknowledged frame is back"
        # What the crash took is gone for good; what came back will be delivered again.
        lost = (self.unsynced - held) - gone
        for key in lost:
            del self.frames[key]
        self.unsynced &= held
        self.acked_unsynced -= held
        self.acked |= self.acked_unsynced
        self.acked_unsynced.clear()

    def check(self, entry: object) -> None:
        header, events = wire.decode_frame(entry.frame)
        key = (header.session, header.seq)
        if entry.is_tombstone:
            assert events[0].lost.count == 1
        else:
            assert entry.frame == self.frames[key]

    @invariant()
    def ledger_closes(self) -> None:
        assert self.stage.unexplained == 0
        assert self.stage.held == sum(len(queue) for queue in self.spool._queues.values())

    @invariant()
    def order_is_kept(self) -> None:
        for queue in self.spool._queues.values():
            seqs = [entry.header.seq for entry in queue]
            assert seqs == sorted(seqs)

    @invariant()
    def bound_is_kept(self) -> None:
        # Tombstones may exceed it by their share.
        assert self.spool.disk_bytes <= BOUNDS.max_bytes * 9 // 8

    def teardown(self) -> None:
        self.sync()
        while self.spool.held:
            entry = self.runner.run(self.spool.lease())
            self.check(entry)
            self.spool.ack(entry)
        self.runner.run(self.spool.close())
        self.runner.close()
        self.syncing.stop()
        shutil.rmtree(self.folder)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


SpoolMachine.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestSpool = SpoolMachine.TestCase
