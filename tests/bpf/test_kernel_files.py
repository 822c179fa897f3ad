"""Every kind of call on files, each seen with its names and its result, by the real kernel."""

import errno
import os
import sys
from pathlib import Path

import pytest
from agentsight_core.pb import events_pb2 as pb

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"


@pytest.fixture
def changed(watch, tester, compiled, tmp_path):
    """Let the tester of file calls run; return its events."""
    seen_by = watch()
    changer = tester(compiled("changer"), tmp_path)
    seen_by.track(changer.pid)
    seen_by.kernel.watch_files(True)
    changer.say("go")
    assert changer.finish() == 0
    events = seen_by.until_exit(changer.pid).events()
    assert seen_by.kernel.counters().file.truncated == 0
    return [event for event in events if event.pid == changer.pid]


def of_kind(events, kind: str) -> list:
    return [getattr(event, kind) for event in events if event.HasField(kind)]


def test_every_change_is_told_with_names_and_result(changed, tmp_path) -> None:
    here, made = str(tmp_path), str(tmp_path / "made")
    expected = [
        pb.FileChanged(operation="FILE_OPERATION_DIRECTORY_ENTERED", directory=here),
        pb.FileChanged(
            operation="FILE_OPERATION_DIRECTORY_MADE", path="made", directory=here, mode=0o750
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_DIRECTORY_MADE", path="inner", directory=made, mode=0o700
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_MODE_CHANGED", directory=f"{here}/one", mode=0o640
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_TRUNCATED", directory=f"{here}/one", length_bytes=4
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_RENAMED",
            path="one",
            directory=here,
            new_path="two",
            new_directory=here,
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_RENAMED",
            path="two",
            directory=here,
            new_path="three",
            new_directory=made,
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_LINK_MADE",
            path="three",
            directory=made,
            new_path="linked",
            new_directory=here,
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_SYMLINK_MADE",
            path="made/three",
            new_path="pointer",
            new_directory=here,
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_MODE_CHANGED", path="linked", directory=here, mode=0o600
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_OWNER_CHANGED", path="linked", directory=here, uid=12
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_TRUNCATED", path=f"{here}/absolute", length_bytes=4096
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_TRUNCATED", directory=f"{made}/mapped", length_bytes=4096
        ),
        pb.FileChanged(
            operation="FILE_OPERATION_DIRECTORY_REMOVED",
            path="made",
            directory=here,
            result=-errno.ENOTEMPTY,
        ),
        pb.FileChanged(operation="FILE_OPERATION_DIRECTORY_REMOVED", path="inner", directory=made),
        pb.FileChanged(operation="FILE_OPERATION_UNLINKED", path=f"{here}/absolute"),
    ]
    assert of_kind(changed, "file_changed") == expected


def test_openings_tell_where_a_relative_path_begins(changed, tmp_path) -> None:
    here, made = str(tmp_path), str(tmp_path / "made")
    assert [
        (one.path, one.directory, min(one.result, 0)) for one in of_kind(changed, "file_opened")
    ] == [
        ("made", here, 0),
        ("one", here, 0),
        (f"{here}/absolute", "", 0),
        ("mapped", made, 0),
        ("missing/file", here, -errno.ENOENT),
    ]


def test_duplicates_have_sums_of_their_own_and_mappings_are_told(changed) -> None:
    closed = [
        (one.path, one.fd, one.written_bytes, one.mapped_for_writing)
        for one in of_kind(changed, "file_closed")
        if one.path in ("one", "mapped")
    ]
    assert [(path, size, mapped) for path, _, size, mapped in closed] == [
        ("one", 3, False),
        ("one", 10, False),
        ("mapped", 0, True),
    ]
    assert closed[0][1] == 77


def test_redirected_output_of_a_shell_is_counted(watch, tester, tmp_path) -> None:
    seen_by = watch()
    script = 'echo ready; read line; printf "%s" 12345 > "$1/out"'
    shell = tester("/bin/sh", "-c", script, "sh", tmp_path)
    seen_by.track(shell.pid)
    seen_by.kernel.watch_files(True)
    shell.say("go")
    assert shell.finish() == 0
    closed = of_kind(seen_by.until_exit(shell.pid).events(), "file_closed")
    written = sum(one.written_bytes for one in closed if one.path == f"{tmp_path}/out")
    assert written == 5


def test_a_python_that_reads_a_secret_file_is_seen(watch, tester, tmp_path) -> None:
    secret = tmp_path / "credentials"
    secret.write_text("not a real secret\n")
    code = "print('ready', flush=True); input(); import sys; open(sys.argv[1]).read()"
    seen_by = watch()
    python = tester(sys.executable, "-c", code, secret)
    seen_by.track(python.pid)
    seen_by.kernel.watch_files(True)
    python.say("go")
    assert python.finish() == 0
    events = seen_by.until_exit(python.pid).events()
    opened = [one for one in of_kind(events, "file_opened") if one.path == str(secret)]
    assert [one.flags & os.O_ACCMODE for one in opened] == [os.O_RDONLY]
    closed = [one for one in of_kind(events, "file_closed") if one.path == str(secret)]
    assert [one.read_bytes for one in closed] == [secret.stat().st_size]


def test_ten_thousand_openings_in_parallel_lose_nothing(watch, tester, tmp_path) -> None:
    code = (
        "import os, sys; print('ready', flush=True); input(); os.chdir(sys.argv[1])\n"
        "children = [os.fork() for _ in range(2)]\n"
        "for i in range(2500):\n"
        "    name = f'{os.getpid()}-{i}'\n"
        "    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))\n"
        "[os.waitpid(child, 0) for child in children if child]"
    )
    seen_by = watch()
    python = tester(sys.executable, "-c", code, tmp_path)
    seen_by.track(python.pid)
    seen_by.kernel.watch_files(True)
    python.say("go")
    seen = seen_by.until_exit(python.pid)
    python.finish()
    events = seen.events()
    opened = [one.path for one in of_kind(events, "file_opened") if "-" in one.path]
    assert len(set(opened)) == len(opened) == len(list(tmp_path.iterdir())) == 10_000
    counters = seen_by.kernel.counters()
    assert counters.lost_records == seen.lost_records == 0
    assert counters.submitted == seen.records
    assert counters.file.map_full == counters.missed_runs == 0
