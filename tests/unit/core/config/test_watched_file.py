from pathlib import Path

import pytest
from agentsight_core.config.watched_file import WatchedFile


def polled(file: WatchedFile) -> str | None:
    """The text after as many polls as a file at rest needs."""
    first = file.poll()
    return first if first is not None else file.poll()


def write(path: Path, text: str) -> None:
    path.write_text(text)


def test_a_text_is_taken_once_when_it_is_at_rest(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write(path, "a: 1\n")
    file = WatchedFile(path)
    assert file.poll() is None, "seen only once: somebody may still be writing"
    assert file.poll() == "a: 1\n"
    assert polled(file) is None
    write(path, "a: 22\n")
    assert polled(file) == "a: 22\n"


def test_what_was_there_at_the_start_is_not_new(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write(path, "a: 1\n")
    file = WatchedFile(path)
    file.take()
    assert polled(file) is None


def test_a_file_that_grows_between_polls_waits(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    file = WatchedFile(path)
    for end in range(1, 5):
        write(path, "abcde"[:end])
        assert file.poll() is None
    assert file.poll() == "abcd"


def test_a_file_open_for_writing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    file = WatchedFile(path)
    with path.open("w") as writer:
        writer.write("capture:\n")
        writer.flush()
        assert [file.poll() for _ in range(4)] == [None] * 4
        writer.write("  mode: none\n")
    assert polled(file) == "capture:\n  mode: none\n"


def test_a_config_map_swaps_its_link(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"..v{number}").mkdir()
        write(tmp_path / f"..v{number}" / "config.yaml", f"a: {number}\n")
    data = tmp_path / "..data"
    data.symlink_to("..v1")
    path = tmp_path / "config.yaml"
    path.symlink_to("..data/config.yaml")
    file = WatchedFile(path)
    assert polled(file) == "a: 1\n"
    swapped = tmp_path / "..data_tmp"
    swapped.symlink_to("..v2")
    swapped.replace(data)
    assert polled(file) == "a: 2\n"


def test_a_missing_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    file = WatchedFile(path)
    assert polled(file) is None
    write(path, "a: 1\n")
    assert polled(file) == "a: 1\n"
    path.unlink()
    assert polled(file) is None


def test_no_text_is_reported_once_a_change(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xff\xfe")
    file = WatchedFile(path)
    with pytest.raises(UnicodeDecodeError):
        polled(file)
    assert polled(file) is None
