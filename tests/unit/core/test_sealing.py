from __future__ import annotations

import base64
from pathlib import Path

import pytest
from agentsight_core import sealing, wire
from agentsight_core.errors import CannotOpen, ConfigError, MalformedFrame
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.sealing import GroupKeys, Opener, Sealer

CANARY = "canary-of-the-sealing-test"


class Keys:
    """Key files as `agentsight certs` lays them out."""

    def __init__(self, folder: Path) -> None:
        self.public = folder / "public"
        self.private = folder / "private"
        self.group = folder / "group"
        self.private.write_text("")
        self.group.write_text("")
        self.rotate()

    def rotate(self, *, forget: bool = False) -> None:
        private, public = sealing.new_frames_pair()
        self._replace(self.public, public)
        self._replace(self.private, private + ("" if forget else self.private.read_text()))
        old = "" if forget else self.group.read_text()
        self._replace(self.group, sealing.new_group_key() + old)

    def _replace(self, path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def _header(seq: int = 1) -> pb.FrameHeader:
    return pb.FrameHeader(agent_id="agent", epoch_ns=5, session=7, seq=seq, event_count=1)


def _batch() -> bytes:
    return wire.encode_events([pb.Event(session=7, file_opened=pb.FileOpened(path=CANARY))])


def test_a_sealed_frame_shows_its_header_and_not_its_content(keys: Keys) -> None:
    plain = wire.encode_frame(_header(), _batch())
    sealed = wire.encode_frame(_header(), _batch(), Sealer(keys.public))

    assert CANARY.encode() in plain  # too short to be compressed: the search below can succeed
    assert CANARY.encode() not in sealed
    assert wire.decode_header(sealed) == _header()
    header, events = wire.decode_frame(sealed, Opener(keys.private))
    assert header == _header()
    assert [event.file_opened.path for event in events] == [CANARY]


def test_a_reader_with_keys_takes_frames_that_are_not_sealed(keys: Keys) -> None:
    _, events = wire.decode_frame(wire.encode_frame(_header(), _batch()), Opener(keys.private))
    assert events[0].file_opened.path == CANARY


def test_without_keys_a_sealed_frame_says_which_key_it_needs(keys: Keys) -> None:
    sealed = wire.encode_frame(_header(), _batch(), Sealer(keys.public))
    key_id = pb.Frame.FromString(sealed).key_id
    with pytest.raises(CannotOpen, match=f"key {key_id}, and no keys are configured"):
        wire.decode_frame(sealed)
    keys.rotate(forget=True)
    with pytest.raises(CannotOpen, match=f"key {key_id}, which is not here; here are"):
        wire.decode_frame(sealed, Opener(keys.private))


def test_after_a_rotation_new_frames_have_the_new_key_and_old_ones_open(keys: Keys) -> None:
    sealer, opener = Sealer(keys.public), Opener(keys.private)
    old = wire.encode_frame(_header(1), _batch(), sealer)
    keys.rotate()
    new = wire.encode_frame(_header(2), _batch(), sealer)

    assert pb.Frame.FromString(old).key_id != pb.Frame.FromString(new).key_id
    for frame in (old, new):
        assert wire.decode_frame(frame, opener)[1][0].file_opened.path == CANARY


def test_a_body_cannot_be_put_under_another_header(keys: Keys) -> None:
    frame = pb.Frame.FromString(wire.encode_frame(_header(), _batch(), Sealer(keys.public)))
    frame.header.session += 1
    with pytest.raises(CannotOpen, match="changed"):
        wire.decode_frame(frame.SerializeToString(), Opener(keys.private))


def test_a_changed_body_is_refused(keys: Keys) -> None:
    frame = pb.Frame.FromString(wire.encode_frame(_header(), _batch(), Sealer(keys.public)))
    for cut in (0, 10, len(frame.body) - 1):
        frame.body = frame.body[:cut]
        with pytest.raises(CannotOpen, match="changed"):
            wire.decode_frame(frame.SerializeToString(), Opener(keys.private))


def test_a_header_with_a_field_of_a_later_version_is_still_bound_the_same(keys: Keys) -> None:
    # Field 900 as a later version might write it.
    later = pb.FrameHeader.FromString(_header().SerializeToString() + b"\xa2\x38\x03new")
    sealed = wire.encode_frame(later, _batch(), Sealer(keys.public))
    assert wire.decode_frame(sealed, Opener(keys.private))[1][0].file_opened.path == CANARY


def test_a_sealed_body_that_is_no_batch_is_malformed(keys: Keys) -> None:
    sealed = wire.encode_frame(_header(), b"\xff\xff", Sealer(keys.public))
    with pytest.raises(MalformedFrame):
        wire.decode_frame(sealed, Opener(keys.private))


def test_group_keys_open_what_any_of_them_sealed_for_that_place(keys: Keys) -> None:
    group = GroupKeys(keys.group)
    old_id, old = group.seal(CANARY.encode(), b"findings.1")
    keys.rotate()
    new_id, new = group.seal(CANARY.encode(), b"findings.1")

    assert old_id != new_id
    assert CANARY.encode() not in old + new
    assert group.open(old_id, old, b"findings.1") == CANARY.encode()
    assert group.open(new_id, new, b"findings.1") == CANARY.encode()
    with pytest.raises(CannotOpen, match="changed"):
        group.open(new_id, new, b"findings.2")
    with pytest.raises(CannotOpen, match="changed"):
        group.open(new_id, new[:5], b"findings.1")
    with pytest.raises(CannotOpen, match="not here"):
        group.open("0000", new, b"findings.1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no line that begins with agentsight-group-v1"),
        ("something else\n", "begins with 'something'"),
        ("agentsight-group-v1 !!!\n", "not base64"),
        ("agentsight-group-v1 QUJD\n", "3 bytes, wanted are 32"),
    ],
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        GroupKeys(path)
    with pytest.raises(ConfigError, match="cannot be used"):
        GroupKeys(tmp_path / "missing")


def test_the_keys_in_use_stay_while_their_file_is_broken(
    keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    group = GroupKeys(keys.group)
    key_id, sealed = group.seal(b"text", b"")
    keys.group.write_text("half a li")
    assert group.open(key_id, sealed, b"") == b"text"
    assert "the keys in use stay" in caplog.text
    keys.group.unlink()
    assert group.open(key_id, sealed, b"") == b"text"


def test_key_ids_do_not_show_the_key(keys: Keys) -> None:
    key_id, _ = GroupKeys(keys.group).seal(b"", b"")
    raw = base64.b64decode(keys.group.read_text().split()[1])
    assert len(key_id) == 16
    assert key_id not in raw.hex()
