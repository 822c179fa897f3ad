import io
import os
from pathlib import Path

import pytest
from agentsight_core.errors import Permanent
from agentsight_core.recordings.frames import RecordingWriter, is_recording, read_recording
from agentsight_core.recordings.records import Damage
from agentsight_core.spool.settings import SpoolSettings
from agentsight_core.spool.spool import Spool
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.numbered_frames import numbered_frame


def segments_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.seg"))


async def test_recording_is_read_back(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "one.asr")
    for seq in (1, 2, 3):
        writer.put(*numbered_frame(7, seq, events=seq), rank=1)
    await writer.drain()
    await writer.close()
    data = (tmp_path / "one.asr").read_bytes()
    assert is_recording(data)
    found = [(header.seq, len(events)) for header, events in read_recording(io.BytesIO(data))]
    assert found == [(1, 1), (2, 2), (3, 3)]
    assert (tmp_path / "one.asr").stat().st_mode & 0o077 == 0


async def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "one.asr").write_text("precious")
    with pytest.raises(FileExistsError):
        RecordingWriter(tmp_path / "one.asr")


async def test_full_disk_is_reported_by_drain() -> None:
    writer = RecordingWriter.__new__(RecordingWriter)
    # Linux: every write to /dev/full fails with ENOSPC.
    writer._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=1 << 20)
    writer._path, writer._failure, writer.frames, writer.dropped = Path("x"), None, 0, 0
    header, _ = numbered_frame(7, 1)
    writer.put(header, os.urandom(3 << 20), rank=1)
    assert writer.dropped == 1
    with pytest.raises(Permanent, match="1 of 1 frames"):
        await writer.drain()
    writer._file.detach().close()


async def test_spool_segment_is_a_recording(tmp_path: Path) -> None:
    settings = SpoolSettings(min_free_bytes=0)
    async with Spool(tmp_path, settings, Ledger().stage("spool", "frames")) as spool:
        spool.put(*numbered_frame(7, 1), rank=1)
        await spool.drain()
        (path,) = segments_in(tmp_path)
        with path.open("rb") as stream:
            assert [header.seq for header, _ in read_recording(stream)] == [1]


def test_frame_that_cannot_be_decoded_is_counted(tmp_path: Path) -> None:
    from agentsight_core.recordings.records import FILE_MAGIC, Record, encode_record

    good = numbered_frame(7, 1)[1]
    records = [Record(b"no frame", 1, 0, 0, 0), Record(good, 2, 0, 0, 0)]
    damage = Damage()
    stream = io.BytesIO(FILE_MAGIC + b"".join(map(encode_record, records)))
    assert [header.seq for header, _ in read_recording(stream, damage)] == [1]
    assert damage == Damage(1, len(b"no frame"))
