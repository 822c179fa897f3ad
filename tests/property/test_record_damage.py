"""Records survive damage around them; reading never raises and never invents."""

import gzip
import io

import pytest
from agentsight_core.errors import Permanent
from agentsight_core.recordings.frames import read_recording
from agentsight_core.recordings.records import (
    FILE_MAGIC,
    HEAD_BYTES,
    RECORD_MARK,
    Damage,
    Record,
    encode_record,
    read_records,
)
from agentsight_core.testing.numbered_frames import numbered_frame
from hypothesis import given
from hypothesis import strategies as st

FRAMES = st.lists(st.binary(max_size=300) | st.just(RECORD_MARK * 3), max_size=8)


def records_of(frames: list[bytes]) -> list[bytes]:
    return [encode_record(Record(frame, n, n, n, 3)) for n, frame in enumerate(frames)]


def read(data: bytes) -> tuple[list[tuple[int, bytes]], Damage]:
    damage = Damage()
    found = [(r.index, r.frame) for r in read_records(io.BytesIO(data), damage)]
    return found, damage


@given(FRAMES)
def test_round_trip(frames: list[bytes]) -> None:
    found, damage = read(b"".join(records_of(frames)))
    assert found == list(enumerate(frames))
    assert damage == Damage()


@given(FRAMES, st.data())
def test_torn_tail_costs_only_the_last(frames: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(records_of(frames))
    cut = data.draw(st.integers(0, len(whole)))
    found, damage = read(whole[:cut])
    complete = [n for n in range(len(frames)) if len(b"".join(records_of(frames)[: n + 1])) <= cut]
    assert found == [(n, frames[n]) for n in complete]
    kept = sum(HEAD_BYTES + len(frame) for _, frame in found)
    assert damage.skipped_bytes == cut - kept
    assert damage.stretches == (cut != kept)


@given(FRAMES.filter(bool), st.data())
def test_flipped_byte_costs_only_its_record(frames: list[bytes], data: st.DataObject) -> None:
    records = records_of(frames)
    victim = data.draw(st.integers(0, len(records) - 1))
    at = data.draw(st.integers(0, len(records[victim]) - 1))
    broken = bytearray(records[victim])
    broken[at] ^= data.draw(st.integers(1, 255))
    records[victim] = bytes(broken)
    found, damage = read(b"".join(records))
    assert found == [(n, frame) for n, frame in enumerate(frames) if n != victim]
    assert damage.skipped_bytes == len(broken)
    assert damage.stretches == 1


@given(st.binary(max_size=2000))
def test_garbage_is_counted_whole(garbage: bytes) -> None:
    found, damage = read(garbage)
    assert found == []
    assert damage.skipped_bytes == len(garbage)


@given(st.integers(0, 400), st.booleans())
def test_cut_recording_gives_its_whole_frames(cut: int, zipped: bool) -> None:
    frames = [numbered_frame(1, seq)[1] for seq in (1, 2, 3)]
    whole = FILE_MAGIC + b"".join(records_of(frames))
    kept = whole[: max(len(FILE_MAGIC), len(whole) - cut)]
    data = gzip.compress(kept)[:-4] if zipped else kept
    seqs = [header.seq for header, _ in read_recording(io.BytesIO(data))]
    sizes = [len(FILE_MAGIC) + len(b"".join(records_of(frames)[: n + 1])) for n in range(3)]
    assert seqs == [n + 1 for n, size in enumerate(sizes) if size <= len(kept)]


def test_other_files_and_other_versions_are_refused_with_a_reason() -> None:
    with pytest.raises(Permanent, match="no recording"):
        list(read_recording(io.BytesIO(b'{"log": {}}')))
    with pytest.raises(Permanent, match="format 09"):
        list(read_recording(io.BytesIO(FILE_MAGIC[:-1] + b"\x09")))
