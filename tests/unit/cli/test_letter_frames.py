"""Frames of dead letters as people read them, and as they give them back."""

import json
from pathlib import Path

import pytest
from agentsight_cli.letter_frames import readable, repaired_frame
from agentsight_core import wire
from agentsight_core.config.security import SealConfig
from agentsight_core.errors import CannotOpen, ConfigError
from agentsight_core.sealing import Opener, new_frames_pair
from agentsight_core.testing.numbered_frames import numbered_frame

OPEN = SealConfig()


def write(folder: Path, value: object) -> Path:
    file = folder / "letter.json"
    file.write_text(json.dumps(value))
    return file


def test_what_is_read_can_be_given_back(tmp_path: Path) -> None:
    header, frame = numbered_frame(5, 7, events=3)
    shown, events = readable(frame, None)
    # One is taken out: the header follows.
    file = write(tmp_path, {"header": shown, "events": events[1:]})
    found, kept = wire.decode_frame(repaired_frame(file, OPEN))
    assert (found.session, found.seq, found.event_count) == (header.session, header.seq, 2)
    assert [event.pid for event in kept] == [2, 3]


def test_where_frames_are_sealed_the_repaired_one_is_too(tmp_path: Path) -> None:
    public, private = tmp_path / "public", tmp_path / "private"
    private_text, public_text = new_frames_pair()
    public.write_text(public_text)
    private.write_text(private_text)
    shown, events = readable(numbered_frame(5, 7)[1], None)
    file = write(tmp_path, {"header": shown, "events": events})
    keys = SealConfig(frames_private_file=private, group_file=tmp_path / "group")
    seal = keys.model_copy(update={"frames_public_file": public})
    frame = repaired_frame(file, seal)
    with pytest.raises(CannotOpen):
        wire.decode_frame(frame)
    assert readable(frame, None) == (shown, [])
    assert readable(frame, Opener(private)) == (shown, events)
    with pytest.raises(ConfigError, match="frames_public_file is not set"):
        repaired_frame(file, keys)


def test_what_is_no_frame_is_shown_as_nothing() -> None:
    assert readable(b"no frame", None) == ({}, [])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "needs `header` and `events`"),
        ({"header": {}}, "needs `header` and `events`"),
        ({"events": []}, "header: must be a mapping"),
        ({"header": {"seq": 1}, "events": []}, "header: .* no agent_id"),
        ({"header": {"sequence": 1}, "events": []}, "header: .*sequence"),
        ({"header": {"seq": 1}, "events": [{}, 3]}, r"events\[1\]: must be a mapping"),
        ({"header": {"seq": 1}, "events": [{"pid": "x"}]}, r"events\[0\]: .*pid"),
    ],
)
def test_what_cannot_be_sent_says_where_it_is_wrong(
    tmp_path: Path, value: object, said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"letter\.json: {said}"):
        repaired_frame(write(tmp_path, value), OPEN)
