"""Every kind of call on files, each seen with its names and its result, by the real kernel."""

import errno
import os
import sys
from pathlib import Path

import pytest
from agentsight_agent.bpf.prefixes import PathFilter
from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.recorded_run import record

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


@pytest.mark.every_loader
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


def test_the_span_of_a_python_names_the_secret_behind_all_that_it_imports(tmp_path) -> None:
    """As its user sees it: the recording, folded."""
    secret = tmp_path / "credentials"
    secret.write_text("not a real secret\n")
    code = "import sys, asyncio, email, http.client, unittest; open(sys.argv[1]).read()"
    run = record([sys.executable, "-c", code, str(secret)], tmp_path)
    assert run.exit_status == 0, run.stderr
    spans = [f.span for f in findings_of(build_fold(), run.events) if f.HasField("span")]
    told = [
        {item.key: getattr(item, item.WhichOneof("value")) for item in event.attributes}
        for span in spans
        for event in span.events
    ]
    (read,) = [one for one in told if one.get("file.path") == str(secret)]
    assert read["agentsight.file.read_bytes"] == secret.stat().st_size
    assert any(item.key == "agentsight.files.omitted" for span in spans for item in span.attributes)


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


def told_files(events) -> dict[str, tuple[int, int]]:
    """Return bytes read and written by the name of each file, over all processes."""
    paths: dict[tuple[int, int], str] = {}
    sums: dict[str, tuple[int, int]] = {}
    for event in events:
        opened, closed = event.file_opened, event.file_closed
        if event.HasField("file_opened") and opened.result >= 0:
            paths[event.pid, opened.result] = opened.path or opened.directory
        if event.HasField("file_closed"):
            name = Path(closed.path or paths[event.pid, closed.fd]).name
            read, written = sums.get(name, (0, 0))
            sums[name] = (read + closed.read_bytes, written + closed.written_bytes)
    return sums


def test_redirections_of_all_kinds_are_counted_to_their_file(watch, tester, tmp_path) -> None:
    """What a child writes goes to a file that it has inherited, not opened."""
    (tmp_path / "source").write_bytes(b"s" * 3000)
    script = """
        echo ready; read line; cd "$1"
        cat source > copied
        { cat source; echo 1234; } > grouped
        (cat source; cat source) >> appended
        cat < source | cat > piped
        exec > rest
        printf abc
        cat source
    """
    seen_by = watch()
    shell = tester("/bin/sh", "-c", script, "sh", tmp_path)
    seen_by.track(shell.pid)
    seen_by.kernel.watch_files(True)
    shell.say("go")
    assert shell.finish() == 0
    events = seen_by.until_exit(shell.pid).events()
    written = {name: sums[1] for name, sums in told_files(events).items() if sums[1]}
    assert written == {
        file.name: file.stat().st_size for file in tmp_path.iterdir() if file.name != "source"
    }
    assert written["rest"] == 3003
    # Through a descriptor that was found open the whole path is told.
    found = [one for one in of_kind(events, "file_opened") if one.result >= 0 and not one.path]
    assert {one.directory for one in found} >= {f"{tmp_path}/grouped", f"{tmp_path}/rest"}


def test_the_output_file_that_python_gives_a_child_is_counted_to_the_child(
    watch, tester, tmp_path
) -> None:
    code = (
        "import subprocess, sys; print('ready', flush=True); input()\n"
        "with open(sys.argv[1] + '/log', 'wb') as log:\n"
        "    log.write(b'by the parent'); log.flush()\n"
        "    subprocess.run(['/bin/echo', 'by the child'], stdout=log, stderr=log, check=True)"
    )
    seen_by = watch()
    python = tester(sys.executable, "-c", code, tmp_path)
    seen_by.track(python.pid)
    seen_by.kernel.watch_files(True)
    python.say("go")
    assert python.finish() == 0
    events = seen_by.until_exit(python.pid).events()
    (child,) = {event.pid for event in events} - {python.pid}
    for pid, path, size in ((python.pid, f"{tmp_path}/log", 13), (child, "", 13)):
        closed = [event.file_closed for event in events if event.pid == pid]
        assert [one.written_bytes for one in closed if one.path == path and one.writes] == [size]
    (opened,) = [
        event.file_opened
        for event in events
        if event.pid == child and event.file_opened.directory == f"{tmp_path}/log"
    ]
    assert (opened.path, opened.result, opened.flags & os.O_ACCMODE) == ("", 1, os.O_WRONLY)


def test_files_that_were_open_before_are_told_and_pipes_are_not(watch, tester, tmp_path) -> None:
    code = (
        "import os, sys; file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "print('ready', flush=True); input(); os.write(file, b'12345')\n"
        "again = os.dup(file); os.write(again, b'678'); os.close(again)\n"
        "near, far = os.pipe(); os.write(far, b'x'); os.read(near, 1)"
    )
    seen_by = watch()
    python = tester(sys.executable, "-c", code, tmp_path / "old")
    seen_by.track(python.pid)
    seen_by.kernel.watch_files(True)
    python.say("go")
    assert python.finish() == 0
    events = seen_by.until_exit(python.pid).events()
    assert told_files(events) == {"old": (0, 8)}


WANDERER = """
import os, sys
os.makedirs("keep/cache/deep", exist_ok=True)
os.makedirs("cachet", exist_ok=True)
print("ready", flush=True)
for line in sys.stdin:
    for path in ("a", "keep/b", "./keep/cache/c", "keep/cache/deep/d", "cachet/e"):
        for name in (path, os.path.abspath(path)):
            with open(name, "w") as file:
                file.write("12345")
    os.chdir("keep")
    with open("cache/f", "w") as file:
        file.write("12345")
    open("b", "w").close()
    os.rename("b", "cache/b")
    os.rename("cache/b", "cache/g")
    folder = os.open("cache", os.O_PATH)
    os.close(os.open("h", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    try:
        open("cache/missing")
    except FileNotFoundError:
        pass
    with open("cache/fd", "w") as log:
        os.fchmod(log.fileno(), 0o600)
        if not os.fork():
            os.write(log.fileno(), b"of the child")
            os._exit(0)
        os.wait()
    os.chdir("..")
    print("{}", flush=True)
"""


def names_told(events, folder) -> set[str]:
    """Return the paths below `folder` of all events of files, relative to it."""
    told = set()
    for event in events:
        kind = event.WhichOneof("body")
        if kind in ("file_opened", "file_changed"):
            body = getattr(event, kind)
            told.add(os.path.normpath(os.path.join(body.directory, body.path)))  # noqa: PTH118
    return {os.path.relpath(path, folder) for path in told if path.startswith(str(folder))}


def test_files_below_paths_that_a_filter_does_not_want_are_not_told(
    watch, tester, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen_by = watch()
    wanderer = tester(sys.executable, "-c", WANDERER)
    seen_by.track(wanderer.pid)
    cache = f"{tmp_path}/keep/cache"
    seen_by.kernel.set_paths(PathFilter(exclude=(cache,)))
    seen_by.kernel.watch_files(True)
    wanderer.ask("go")
    events = seen_by.drain().events()
    # A rename out of what is wanted is told, and so is where the process is.
    assert names_told(events, tmp_path) == {"a", "keep/b", "cachet/e", "keep", "."}
    closed = [one for one in of_kind(events, "file_closed") if one.path]
    assert {Path(one.path).name for one in closed} == {"a", "b", "e"}
    # Twice c and d; f, g, h, the directory, the missing one, fd, its rights, and of the child.
    assert seen_by.kernel.counters().file.filtered == 12


@pytest.mark.every_loader
def test_the_longest_path_decides_and_paths_change_while_it_runs(
    watch, tester, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen_by = watch()
    wanderer = tester(sys.executable, "-c", WANDERER)
    seen_by.track(wanderer.pid)
    keep = f"{tmp_path}/keep"
    seen_by.kernel.set_paths(
        PathFilter(include=(keep, f"{keep}/cache/deep"), exclude=(f"{keep}/cache",))
    )
    seen_by.kernel.watch_files(True)
    wanderer.ask("go")
    seen = seen_by.drain()
    assert names_told(seen.events(), tmp_path) == {"keep/b", "keep/cache/deep/d", "keep", "."}
    seen_by.kernel.set_paths(PathFilter())
    wanderer.ask("go")
    assert "a" in names_told(seen_by.drain().events(), tmp_path)


def test_a_process_is_watched_while_it_is_tracked_and_not_a_call_longer(watch, tmp_path) -> None:
    seen_by = watch()
    # So that the files of the machine are watched already when this process is.
    seen_by.kernel.watch_files(True)
    me, files = os.getpid(), [tmp_path / f"{number}" for number in range(60)]

    for number, file in enumerate(files):
        if number % 2:
            seen_by.track(me)
        file.touch()
        seen_by.kernel.untrack(me)

    opened = [event.path for event in of_kind(seen_by.drain().events(), "file_opened")]
    assert [path for path in opened if path.startswith(f"{tmp_path}/")] == [
        str(file) for file in files[1::2]
    ]


def test_a_ring_of_io_uring_is_told_as_what_is_not_seen(watch, tester) -> None:
    code = (
        "import ctypes, sys; print('ready', flush=True); input()\n"
        "call = ctypes.CDLL(None, use_errno=True).syscall\n"
        "parameters = ctypes.create_string_buffer(120)\n"
        "ring = call(425, 8, parameters)\n"
        "print(ring if ring > 0 else -ctypes.get_errno(), flush=True)"
    )
    seen_by = watch()
    python = tester(sys.executable, "-c", code)
    seen_by.track(python.pid)
    seen_by.kernel.watch_files(True)
    ring = python.ask("go")
    assert ring > 0, os.strerror(-ring)
    python.finish()
    (event,) = [e for e in seen_by.until_exit(python.pid).events() if e.HasField("lost")]
    assert event.pid == python.pid
    assert event.lost == pb.Lost(
        stage="kernel", reason="io_uring", count=1, unit="rings", first_boot_ns=event.boot_ns
    )


HEADERS, SOURCES = 40, 250


def test_a_parallel_build_of_ten_thousand_openings_loses_nothing(watch, tester, tmp_path) -> None:
    """A real compiler and make: each source includes each header, and reads all of it."""
    for number in range(HEADERS):
        text = f"#define NUMBER_{number} {number}\n" + f"/* {'x' * 100 * number} */\n"
        (tmp_path / f"h{number}.h").write_text(text)
    includes = "".join(f'#include "h{number}.h"\n' for number in range(HEADERS))
    for number in range(SOURCES):
        (tmp_path / f"s{number}.c").write_text(f"{includes}int f{number}(void) {{ return 1; }}\n")
    goals = " ".join(f"s{number}.o" for number in range(SOURCES))
    (tmp_path / "Makefile").write_text(f"all: {goals}\n%.o: %.c\n\tcc -c $< -o $@\n")
    script = 'echo ready; read line; exec make --silent -j4 -C "$1"'
    seen_by = watch()
    shell = tester("/bin/sh", "-c", script, "sh", tmp_path)
    seen_by.track(shell.pid)
    seen_by.kernel.watch_files(True)
    shell.say("go")
    seen = seen_by.until_exit(shell.pid)
    assert shell.finish() == 0
    names = {f"h{number}.h" for number in range(HEADERS)}
    opened: dict[str, int] = {}
    read: dict[str, int] = {}
    for event in seen.events():
        one, done = event.file_opened, event.file_closed
        if event.HasField("file_opened") and one.path in names and one.result >= 0:
            opened[one.path] = opened.get(one.path, 0) + 1
        elif event.HasField("file_closed") and done.path in names:
            read[done.path] = read.get(done.path, 0) + done.read_bytes
    assert opened == dict.fromkeys(names, SOURCES)
    assert read == {name: SOURCES * (tmp_path / name).stat().st_size for name in names}
    counters = seen_by.kernel.counters()
    assert counters.lost_records == seen.lost_records == counters.missed_runs == 0
    assert counters.submitted == seen.records
    assert counters.file.map_full == 0
    assert len(list(tmp_path.glob("*.o"))) == SOURCES
