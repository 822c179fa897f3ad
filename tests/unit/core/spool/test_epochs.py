from pathlib import Path

from agentsight_core.spool.epochs import Epoch, EpochNote, losses


def test_a_run_that_ends_well_leaves_nothing_behind(tmp_path: Path) -> None:
    note = EpochNote(tmp_path / "epoch.json")
    assert note.left_behind() is None
    note.write(Epoch("boot", 5, [1, 2]))
    note.remove()
    assert EpochNote(tmp_path / "epoch.json").left_behind() is None


def test_without_sessions_there_is_nothing_to_tell(tmp_path: Path) -> None:
    note = EpochNote(tmp_path / "epoch.json")
    note.write(Epoch("boot", 5, [1]))
    note.write(Epoch("boot", 6, []))
    assert EpochNote(tmp_path / "epoch.json").left_behind() is None


def test_what_a_killed_run_watched_is_told_once(tmp_path: Path) -> None:
    EpochNote(tmp_path / "epoch.json").write(Epoch("boot", 5, [1, 2]))
    note = EpochNote(tmp_path / "epoch.json")
    earlier = note.left_behind()
    assert earlier is not None
    events = losses(earlier, "boot", 70, 1070)
    assert [event.session for event in events] == [1, 2]
    assert {(event.lost.first_boot_ns, event.boot_ns, event.wall_ns) for event in events} == {
        (5, 70, 1070)
    }
    # Watching nobody yet, the new run replaces the note.
    note.write(Epoch("boot", 80, []))
    assert EpochNote(tmp_path / "epoch.json").left_behind() is None


def test_times_of_another_run_of_the_kernel_mean_nothing() -> None:
    (event,) = losses(Epoch("before", 5, [1]), "now", 70, 1070)
    assert event.lost.first_boot_ns == 0


def test_a_damaged_note_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "epoch.json").write_text("{")
    assert EpochNote(tmp_path / "epoch.json").left_behind() is None
