import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_core import wire
from agentsight_core.errors import ConfigError
from agentsight_core.spool import segments
from agentsight_core.spool.segment import Segment
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Ledger, Stage
from agentsight_core.testing.numbered_frames import numbered_frame

CONTROL, FILE = 0, 5
SMALL = SpoolSettings(max_bytes=64 << 10, min_free_bytes=0, segment_bytes=8 << 10)


@pytest.fixture
def stage() -> Stage:
    return Ledger().stage("spool", "frames")


@pytest.fixture
async def spool(tmp_path: Path, stage: Stage) -> AsyncIterator[Spool]:
    async with Spool(tmp_path, SMALL, stage) as opened:
        yield opened


def put(spool: Spool, session: int, seq: int, rank: int = CONTROL, size: int = 0) -> bytes:
    header, frame = numbered_frame(session, seq)
    # Field 15, unknown to every reader: makes the frame large without making it compressible.
    frame += b"\x7a" + bytes([size & 0x7F | 0x80, size >> 7]) + os.urandom(size) if size else b""
    spool.put(header, frame, rank)
    return frame


def segments_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.seg"))


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def take_all(spool: Spool) -> list[tuple[int, int, str]]:
    """Acknowledge everything; return (session, seq, reason of loss or "")."""
    taken = []
    while spool.held:
        entry = await spool.lease()
        header, events = wire.decode_frame(entry.frame)
        taken.append((header.session, header.seq, events[0].lost.reason))
        spool.ack(entry)
    return taken


async def test_frames_leave_in_order_one_per_session(spool: Spool) -> None:
    frames = [put(spool, 1, 1), put(spool, 1, 2), put(spool, 2, 1)]
    first, other = await spool.lease(), await spool.lease()
    assert (first.frame, other.frame) == (frames[0], frames[2])
    waiting = asyncio.create_task(spool.lease())
    await spool.drain()
    assert not waiting.done()
    spool.ack(first)
    assert (await waiting).frame == frames[1]


async def test_released_frame_comes_again_before_the_next(spool: Spool) -> None:
    put(spool, 1, 1)
    put(spool, 1, 2)
    entry = await spool.lease()
    spool.release(entry)
    assert await spool.lease() is entry


async def test_frames_survive_a_restart_and_acknowledged_ones_do_not(
    tmp_path: Path, stage: Stage
) -> None:
    async with Spool(tmp_path, SMALL, Ledger().stage("first", "frames")) as spool:
        for seq in range(1, 6):
            put(spool, 1, seq)
        for _ in range(2):
            spool.ack(await spool.lease())
    async with Spool(tmp_path, SMALL, stage) as spool:
        put(spool, 1, 6)
        assert stage.received == 4
        assert await take_all(spool) == [(1, seq, "") for seq in range(3, 7)]
    assert (stage.emitted, stage.held, stage.unexplained) == (4, 0, 0)


async def test_acknowledgements_of_a_lost_segment_are_not_those_of_the_next_one(
    tmp_path: Path, stage: Stage
) -> None:
    async with Spool(tmp_path, SMALL, Ledger().stage("first", "frames")) as spool:
        put(spool, 1, 1)
        spool.ack(await spool.lease())
    # Nothing was synced: a power failure may take the one file and leave the other.
    (path,) = segments_in(tmp_path)
    path.unlink()
    assert path.with_suffix(".ack") in files_in(tmp_path)
    async with Spool(tmp_path, SMALL, Ledger().stage("second", "frames")) as spool:
        put(spool, 1, 2)
        await spool.drain()
    assert segments_in(tmp_path) == [path]
    async with Spool(tmp_path, SMALL, stage) as spool:
        assert await take_all(spool) == [(1, 2, "")]


async def test_frames_go_by_memory_while_what_an_earlier_run_left_cannot_be_deleted(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Spool(tmp_path, SMALL, Ledger().stage("first", "frames")) as spool:
        put(spool, 1, 1)
        await spool.drain()
    (path,) = segments_in(tmp_path)
    path.write_bytes(b"")  # what a power failure may leave

    def refuse(segment: Segment) -> None:
        raise OSError(errno.EIO, f"{segment.path} stays")

    with monkeypatch.context() as patched:
        patched.setattr(segments.files, "delete", refuse)
        async with Spool(tmp_path, SMALL, Ledger().stage("second", "frames")) as spool:
            frames = [put(spool, 1, 2), put(spool, 1, 3)]
            first = await spool.lease()
            assert first.frame == frames[0]
            spool.ack(first)
    # The file of the second run is another one, which the third does not take for the old one.
    async with Spool(tmp_path, SMALL, stage) as spool:
        assert path not in segments_in(tmp_path)
        assert await take_all(spool) == [(1, 3, "")]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that are synced, each time."""
    seen: list[Path] = []
    sync = segments.files.sync

    def note(segment: Segment) -> None:
        seen.append(segment.path)
        sync(segment)

    monkeypatch.setattr(segments.files, "sync", note)
    return seen


async def test_what_the_bus_takes_at_once_is_not_synced(
    spool: Spool, synced: list[Path], tmp_path: Path
) -> None:
    for seq in range(1, 21):
        put(spool, 1, seq)
        spool.ack(await spool.lease())
    assert segments_in(tmp_path)
    assert not synced


async def test_what_waits_is_synced_once(
    spool: Spool, synced: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_SYNC_SECONDS", 0.05)
    put(spool, 1, 1)
    first = await spool.lease()
    async with asyncio.timeout(5):
        while not synced:
            await spool._segments.flush()
    [file] = synced
    assert file == first.segment.path
    monkeypatch.setattr(segments, "_SYNC_SECONDS", 3600)
    spool.ack(first)
    put(spool, 1, 2)
    spool.ack(await spool.lease())
    await spool._segments.flush()
    assert synced == [file]


async def test_drained_is_synced(spool: Spool, synced: list[Path]) -> None:
    put(spool, 1, 1)
    put(spool, 1, 2, rank=FILE)
    await spool.drain()
    assert len(synced) == 2
    await spool.drain()
    assert len(synced) == 2


async def test_what_says_that_frames_are_given_up_is_synced_before_they_are_deleted(
    spool: Spool, synced: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in range(1, 31):
        put(spool, 1, seq, rank=FILE, size=1000)
    await spool.drain()
    deleted: list[tuple[Path, list[Path]]] = []
    monkeypatch.setattr(
        segments.files, "delete", lambda one: deleted.append((one.path, list(synced)))
    )
    synced.clear()
    for seq in range(1, 51):
        put(spool, 2, seq, rank=CONTROL, size=1000)
    await spool._segments.flush()
    [tombstones] = [path for path in segments_in(tmp_path) if path.name.startswith("255")]
    assert deleted
    assert all(tombstones in before for _, before in deleted)


async def test_acknowledged_segments_are_deleted(spool: Spool, tmp_path: Path) -> None:
    for seq in range(1, 31):
        put(spool, 1, seq, size=1000)
    await spool.drain()
    assert len(segments_in(tmp_path)) > 3
    await take_all(spool)
    await spool._segments.flush()
    # The one that is still being written may stay.
    assert len(segments_in(tmp_path)) <= 1
    assert spool.disk_bytes <= SMALL.segment_bytes


async def test_full_spool_gives_up_the_least_valuable_first(spool: Spool, stage: Stage) -> None:
    for seq in range(1, 31):
        put(spool, 1, seq, rank=FILE, size=1000)
    await spool.drain()
    for seq in range(1, 51):
        put(spool, 2, seq, rank=CONTROL, size=1000)
    taken = await take_all(spool)
    files = [reason for session, _, reason in taken if session == 1]
    control = [reason for session, _, reason in taken if session == 2]
    # All numbers are there, the older files as tombstones in their places, all of control whole.
    assert [seq for session, seq, _ in taken if session == 1] == list(range(1, 31))
    assert files == ["full"] * stage.dropped["full"] + [""] * (30 - stage.dropped["full"])
    assert control == [""] * 50
    assert stage.unexplained == 0


async def test_less_valuable_frame_does_not_push_out_a_more_valuable_one(
    spool: Spool, stage: Stage
) -> None:
    for seq in range(1, 41):
        put(spool, 1, seq, rank=CONTROL, size=1200)
    await spool.drain()
    for seq in range(1, 21):
        put(spool, 2, seq, rank=FILE, size=1200)
    taken = await take_all(spool)
    assert all(not reason for session, _, reason in taken if session == 1)
    assert stage.dropped["full"] > 0


async def test_frame_that_was_offered_and_then_given_up_is_lent_once(spool: Spool) -> None:
    for seq in range(1, 21):
        put(spool, 1, seq, rank=FILE, size=1500)
    await spool.drain()
    for seq in range(1, 41):
        put(spool, 2, seq, rank=CONTROL, size=1500)
    await spool.drain()
    lent = {(await spool.lease()).header.session for _ in range(2)}
    assert lent == {1, 2}
    third = asyncio.create_task(spool.lease())
    await asyncio.sleep(0)
    await spool.drain()
    assert not third.done()
    third.cancel()


async def test_crash_between_tombstone_and_deletion_brings_back_the_tombstone_only(
    tmp_path: Path, stage: Stage
) -> None:
    async with Spool(tmp_path, SMALL, Ledger().stage("first", "frames")) as spool:
        put(spool, 1, 1, rank=FILE, size=1000)
        await spool.drain()
        (path,) = segments_in(tmp_path)
        data = path.read_bytes()
        entry = await spool.lease()
        spool.refuse(entry, "too_large")
        spool._segments.close_segment(next(iter(spool._segments._frames)))
        await spool._segments.flush()
    path.write_bytes(data)
    path.with_suffix(".ack").unlink(missing_ok=True)
    async with Spool(tmp_path, SMALL, stage) as spool:
        assert spool.held == 1
        assert await take_all(spool) == [(1, 1, "too_large")]


async def test_frames_stay_on_the_disk_until_their_tombstones_are_there(
    spool: Spool, tmp_path: Path
) -> None:
    for seq in range(1, 21):
        put(spool, 1, seq, rank=FILE, size=1500)
    await spool.drain()
    before = segments_in(tmp_path)
    # Nothing is awaited: what is on the disk now is what a crash would leave.
    for seq in range(1, 41):
        put(spool, 2, seq, rank=CONTROL, size=1500)
    assert segments_in(tmp_path) == before
    await spool._segments.flush()
    assert not set(before) <= set(segments_in(tmp_path))


async def test_tombstones_are_bounded_too(tmp_path: Path, stage: Stage) -> None:
    tiny = SpoolSettings(max_bytes=8 << 10, min_free_bytes=0, max_frame_bytes=1)
    async with Spool(tmp_path, tiny, stage) as spool:
        for seq in range(1, 101):
            put(spool, 1, seq)
        assert 0 < spool.held < 10
        assert stage.dropped == {"too_large": 100}
        assert stage.unexplained == 0
        taken = await take_all(spool)
    # The numbers end early: the gap is for the worker to see.
    assert [seq for _, seq, _ in taken] == list(range(1, len(taken) + 1))


async def test_tombstone_says_how_many_events_are_lost(spool: Spool, stage: Stage) -> None:
    header, _ = numbered_frame(3, 1, events=7)
    spool.put(header, os.urandom(SMALL.max_bytes), CONTROL)
    entry = await spool.lease()
    found, events = wire.decode_frame(entry.frame)
    assert (found.agent_id, found.seq, len(events)) == (header.agent_id, 1, 1)
    lost = events[0].lost
    assert (lost.stage, lost.reason, lost.count, lost.unit) == ("spool", "too_large", 7, "events")
    assert events[0].session == 3
    assert stage.dropped == {"too_large": 1}


async def test_failing_disk_keeps_frames_in_memory_and_says_so(
    tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async with Spool(tmp_path, SMALL, stage) as spool:
        with monkeypatch.context() as broken:
            broken.setattr(segments, "_write", refuse)
            frame = put(spool, 1, 1)
            entry = await spool.lease()
            assert entry.frame == frame
            spool.release(entry)
        assert "No space left" in caplog.text
        # When the disk is back, what is still held is written.
        await spool.drain()
    async with Spool(tmp_path, SMALL, Ledger().stage("next", "frames")) as spool:
        assert (await spool.lease()).frame == frame


async def test_low_disk_space_is_left_to_others(tmp_path: Path, stage: Stage) -> None:
    greedy = SpoolSettings(min_free_bytes=1 << 60)
    async with Spool(tmp_path, greedy, stage) as spool:
        put(spool, 1, 1)
        assert await take_all(spool) == [(1, 1, "disk_full")]


async def test_damaged_record_costs_itself_only(tmp_path: Path, stage: Stage) -> None:
    async with Spool(tmp_path, SMALL, Ledger().stage("first", "frames")) as spool:
        frames = [put(spool, 1, seq, size=100) for seq in (1, 2, 3)]
    (path,) = segments_in(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(frames[1][-50:], bytes(50)))
    async with Spool(tmp_path, SMALL, stage) as spool:
        assert spool.damage.stretches == 1
        assert await take_all(spool) == [(1, 1, ""), (1, 3, "")]


async def test_record_damaged_after_the_start_leaves_a_tombstone(
    tmp_path: Path, stage: Stage
) -> None:
    uncached = SpoolSettings(min_free_bytes=0, cache_bytes=0)
    async with Spool(tmp_path, uncached, stage) as spool:
        put(spool, 1, 1, size=100)
        put(spool, 1, 2)
        await spool.drain()
        (path,) = segments_in(tmp_path)
        path.write_bytes(path.read_bytes()[:60] + b"damage" + path.read_bytes()[66:])
        assert await take_all(spool) == [(1, 1, "unreadable"), (1, 2, "")]
    assert stage.unexplained == 0


async def test_folder_is_used_by_one_process_only(spool: Spool, tmp_path: Path) -> None:
    second = Spool(tmp_path, SMALL, Ledger().stage("second", "frames"))
    with pytest.raises(ConfigError, match="in use"):
        await second.__aenter__()


async def test_files_are_private(spool: Spool, tmp_path: Path) -> None:
    put(spool, 1, 1)
    await spool.drain()
    (path,) = segments_in(tmp_path)
    assert path.stat().st_mode & 0o077 == 0
