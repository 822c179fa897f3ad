"""Starts that the kernel side leaves out, and the moments at which it tells of such a process."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_agent.bpf.familiar import Program
from agentsight_agent.bpf.records import ProcessNetworked, ProcessRecord

pytestmark = pytest.mark.kernel

TESTERS = Path(__file__).parent / "testers"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter that nothing else of the machine runs, and that may use TLS."""
    (tmp_path / "bin").mkdir()
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", tmp_path)
    (tmp_path / "lib").symlink_to(Path(sys.prefix) / "lib")
    return Path(shutil.copy(Path(sys.executable).resolve(), tmp_path / "bin/python"))


def run(*command: object) -> int:
    with subprocess.Popen([str(part) for part in command]) as process:
        pass
    assert process.returncode == 0
    return process.pid


def program_of(seen_by, path: Path | str, *arguments: str) -> Program:
    """Run the program once and return what the kernel side knows it as."""
    pid = run(path, *arguments)
    found = seen_by.kernel.familiar.started_by(pid)
    assert found is not None
    return found


def executed(seen_by, pid: int) -> list[ProcessRecord]:
    records = seen_by.drain().of(ProcessRecord)
    return [record for record in records if record.pid == pid and record.kind == "executed"]


@pytest.fixture
def true(tmp_path: Path) -> Path:
    """A program that nothing else of the machine starts."""
    return Path(shutil.copy("/bin/true", tmp_path / "true"))


@pytest.mark.every_loader
def test_the_start_of_a_familiar_program_is_left_out_and_counted(watch, true: Path) -> None:
    seen_by = watch(discover=True)
    program = program_of(seen_by, true)
    assert (program.inode, program.size_bytes) == (true.stat().st_ino, true.stat().st_size)
    seen_by.kernel.familiar.add(program)
    assert executed(seen_by, run(true)) == []
    assert seen_by.kernel.counters().process.filtered == 1
    assert seen_by.seen.lost_records == 0


def test_the_same_file_under_another_name_or_with_another_content_is_told(
    watch, true: Path
) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.familiar.add(program_of(seen_by, true))
    moved = true.rename(true.with_name("claude"))
    assert executed(seen_by, run(moved))
    moved = moved.rename(true)
    with moved.open("ab") as file:
        file.write(b"more")
    assert executed(seen_by, run(moved))


def test_a_start_with_a_mark_in_its_arguments_is_told(watch, true: Path) -> None:
    seen_by = watch(discover=True)
    familiar = seen_by.kernel.familiar
    familiar.set_marks([b"run-agent", b"gem"])
    familiar.add(program_of(seen_by, true))
    assert executed(seen_by, run(true, "run-along", "ge")) == []
    [record] = executed(seen_by, run(true, "x" * 900, "--run-agent"))
    assert record.is_familiar
    assert executed(seen_by, run(true, "gemini"))
    # Rules see the first kilobyte.
    assert executed(seen_by, run(true, "x" * 1100, "gemini")) == []


@pytest.mark.every_loader
def test_where_arguments_cannot_be_searched_marks_have_all_starts_told(
    watch, true: Path, loader
) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.familiar.set_marks([b"run-agent"])
    seen_by.kernel.familiar.add(program_of(seen_by, true))
    assert executed(seen_by, run(true, "run-agent"))
    assert bool(executed(seen_by, run(true))) == (loader["loader"] == "bcc")


def test_other_marks_make_all_programs_unfamiliar(watch, true: Path) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.familiar.add(program_of(seen_by, true))
    seen_by.kernel.familiar.set_marks([b"other"])
    assert executed(seen_by, run(true))


@pytest.mark.parametrize("marks", [[b""], [b"x"] * 9])
def test_marks_that_cannot_be_are_refused(watch, marks: list[bytes]) -> None:
    with pytest.raises(ValueError, match="allowed: 8 texts, none empty"):
        watch().kernel.familiar.set_marks(marks)


def test_members_of_sessions_are_told_with_what_is_known(watch, tester, true: Path) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.familiar.add(program_of(seen_by, true))
    seen_by.drain()
    seen_by.kernel.acknowledge()
    shell = tester("/bin/sh", "-c", f"echo ready; read line; {true}; exit 0")
    seen_by.track(shell.pid)
    shell.say("go")
    shell.finish()
    records = seen_by.until_exit(shell.pid).of(ProcessRecord)
    mine = [one for one in records if one.session == seen_by.session and one.kind == "executed"]
    assert [one.is_familiar for one in mine] == [True]


CONNECTS = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))"
LISTENS = "import socket; socket.create_server(('127.0.0.1', 0))"


@pytest.mark.every_loader
@pytest.mark.parametrize("script", [f"{CONNECTS}; {CONNECTS}", LISTENS])
def test_a_process_that_was_left_out_is_told_once_when_it_uses_the_network(
    watch, python: Path, script: str
) -> None:
    seen_by = watch(discover=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen_by.kernel.familiar.add(program_of(seen_by, python, "-I", "-c", "pass"))
        pid = run(python, "-I", "-c", script, server.getsockname()[1])
    seen = seen_by.drain()
    assert executed(seen_by, pid) == []
    assert seen.of(ProcessNetworked) == [ProcessNetworked(pid)]
    assert seen_by.kernel.familiar.started_by(pid) is not None


def test_a_program_that_has_used_tls_is_told_for_good(watch, tester, python: Path, libssl) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.attach_tls(*libssl)
    program = program_of(seen_by, python, "-I", "-c", "pass")
    seen_by.kernel.familiar.add(program)
    talker = tester(python, TESTERS / "tls_talker.py")
    assert executed(seen_by, talker.pid) == []
    talker.ask("open 1")
    talker.ask("say 0 hello")
    assert executed(seen_by, run(python, "-I", "-c", "pass"))
    seen_by.kernel.familiar.add(program)
    assert executed(seen_by, run(python, "-I", "-c", "pass"))


def test_a_process_that_has_used_tls_is_told_what_it_executes(
    watch, tls_tester, libssl, true: Path
) -> None:
    """Its connections end then."""
    seen_by = watch(discover=True)
    seen_by.kernel.attach_tls(*libssl)
    seen_by.kernel.familiar.add(program_of(seen_by, true))
    talker = tls_tester()
    talker.ask("open 1")
    talker.ask("say 0 hello")
    talker.ask(f"become {true}")
    seen_by.until_exit(talker.pid)
    assert [record.is_familiar for record in executed(seen_by, talker.pid)] == [False, True]


def test_nothing_is_familiar_while_the_network_is_not_watched(watch, true: Path) -> None:
    seen_by = watch(discover=True)
    program = program_of(seen_by, true)
    seen_by.kernel.familiar.add(program)
    seen_by.kernel.watch_network(False)
    assert executed(seen_by, run(true))
    seen_by.kernel.familiar.add(program)
    assert executed(seen_by, run(true))
    seen_by.kernel.watch_network(True)
    seen_by.kernel.familiar.add(program)
    assert executed(seen_by, run(true)) == []
