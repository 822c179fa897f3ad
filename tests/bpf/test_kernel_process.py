"""Births, executions and ends of processes, seen by the real kernel."""

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from agentsight_agent.bpf.records import ProcessRecord

pytestmark = pytest.mark.kernel


@pytest.mark.every_loader
def test_23_children_of_a_tracked_process_are_born_execute_and_end(watch, tester, compiled) -> None:
    seen_by = watch()
    forker = tester(compiled("forker"))
    seen_by.track(forker.pid)
    forker.say("go")
    assert forker.finish() == 7
    seen = seen_by.until_exit(forker.pid)

    children = [record for record in seen.of(ProcessRecord) if record.pid != forker.pid]
    kinds = Counter(record.kind for record in children)
    assert kinds == {"forked": 23, "executed": 23, "exited": 23}
    assert {record.session for record in seen.of(ProcessRecord)} == {seen_by.session}
    for pid in {record.pid for record in children}:
        own = [record.kind for record in children if record.pid == pid]
        assert own == ["forked", "executed", "exited"]
    parents = {
        event.process_forked.parent_pid
        for event in seen.events()
        if event.HasField("process_forked")
    }
    assert parents == {forker.pid}
    ended = [event for event in seen.events() if event.pid == forker.pid][-1]
    assert ended.process_exited.exit_code == 7
    assert ended.process_exited.duration_ns > 0
    assert seen.lost_records == 0
    assert seen_by.kernel.counters().process.submitted == seen.records


def test_grandchildren_belong_to_the_session_and_others_do_not(watch, tester) -> None:
    seen_by = watch()
    shell = tester("/bin/sh", "-c", "echo ready; read line; /bin/sh -c '/bin/true; exit 3'; exit 4")
    seen_by.track(shell.pid)
    subprocess.run(["/bin/true"], check=True)
    shell.say("go")
    assert shell.finish() == 4
    seen = seen_by.until_exit(shell.pid)

    executed = [event for event in seen.events() if event.HasField("process_executed")]
    assert [event.process_executed.argv[0] for event in executed] == ["/bin/sh", "/bin/true"]
    assert executed[1].process_executed.parent_pid == executed[0].pid
    codes = [
        event.process_exited.exit_code
        for event in seen.events()
        if event.HasField("process_exited")
    ]
    assert codes == [0, 3, 4]


def run_in_session(seen_by, tester, command: list[str | bytes], cwd: Path):
    """Let a tracked shell execute `command`; return its ProcessExecuted and its ProcessExited."""
    script = 'echo ready; read line; cd "$1"; shift; exec "$@"'
    shell = tester("/bin/sh", "-c", script, "sh", cwd, *command)
    seen_by.track(shell.pid)
    shell.say("go")
    shell.finish()
    events = seen_by.until_exit(shell.pid).events()
    return events[-2], events[-1]


def test_argv_is_complete_up_to_64_kib(watch, tester, tmp_path) -> None:
    command = ["/bin/true", *(f"{number:0100}" for number in range(600)), "", "ö\n\t"]
    executed, _ = run_in_session(watch(), tester, command, tmp_path)
    assert list(executed.process_executed.argv) == command
    assert not executed.process_executed.argv_truncated
    assert executed.process_executed.exe == os.path.realpath("/bin/true")
    assert executed.process_executed.cwd == str(tmp_path)
    assert executed.process_executed.comm == "true"
    assert executed.process_executed.uid == os.getuid()


def test_a_longer_argv_is_cut_marked_and_counted(watch, tester, tmp_path) -> None:
    seen_by = watch(max_argv_bytes=1000)
    command = ["/bin/true", "x" * 5000]
    executed, _ = run_in_session(seen_by, tester, command, tmp_path)
    argv = list(executed.process_executed.argv)
    assert executed.process_executed.argv_truncated
    assert argv == ["/bin/true", "x" * (1000 - len("/bin/true") - 1)]
    counters = seen_by.kernel.counters().process
    total = len("/bin/true") + 1 + 5000 + 1
    assert (counters.truncated, counters.truncated_bytes) == (1, total - 1000)


def test_bytes_that_are_no_text_become_replacement_characters(watch, tester, tmp_path) -> None:
    shell = ["/bin/sh", "-c", "exec /bin/true $(printf 'a\\377\\355\\240\\200b')"]
    executed, _ = run_in_session(watch(), tester, shell, tmp_path)
    # A lone surrogate (ED A0 80) is three bytes that are no text.
    assert list(executed.process_executed.argv) == ["/bin/true", "a" + "\ufffd" * 4 + "b"]


def test_text_is_told_as_it_is_wherever_a_letter_lies(watch, tester, tmp_path) -> None:
    # Text is looked at in eights: letters of one to four bytes, and what is none, across an end.
    odd = [b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9f\x90\x8d", b"\xff", b"\xc3"]
    words = [b"a" * before + one + b"b" * 9 for before in range(18) for one in odd]
    command = ["/bin/true", *(os.fsdecode(word) for word in words)]
    executed, _ = run_in_session(watch(), tester, command, tmp_path)
    assert list(executed.process_executed.argv)[1:] == [
        word.decode(errors="replace") for word in words
    ]


@pytest.mark.every_loader
def test_cwd_is_found_across_a_mount_point(watch, tester) -> None:
    executed, _ = run_in_session(watch(), tester, ["/bin/true"], Path("/proc/self"))
    pid = executed.pid
    assert executed.process_executed.cwd == f"/proc/{pid}"


def test_an_end_by_a_signal_is_told(watch, tester, tmp_path) -> None:
    command = ["/bin/sh", "-c", "kill -9 $$"]
    _, exited = run_in_session(watch(), tester, command, tmp_path)
    assert exited.process_exited.exit_signal == signal.SIGKILL
    assert exited.process_exited.exit_code == 0


def test_times_are_boot_time_and_unix_time(watch, tester, tmp_path) -> None:
    before_ns, before_wall_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    executed, exited = run_in_session(watch(), tester, ["/bin/true"], tmp_path)
    assert before_ns < executed.process_executed.start_boot_ns < executed.boot_ns < exited.boot_ns
    assert exited.boot_ns < time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    # The difference of the clocks is measured to within the time between two readings.
    assert before_wall_ns - 10**7 < executed.wall_ns < time.time_ns() + 10**7


def test_an_untracked_execution_is_seen_only_while_discovering(watch) -> None:
    seen_by = watch()
    subprocess.run(["/bin/true", "before"], check=True)
    seen_by.kernel.set_discover(True)
    discovered = subprocess.Popen(["/bin/true", "discovered", "y" * 2000])
    assert discovered.wait() == 0
    seen_by.kernel.set_discover(False)
    subprocess.run(["/bin/true", "after"], check=True)

    records = seen_by.drain().of(ProcessRecord)
    assert {record.kind for record in records} == {"executed"}
    assert {record.session for record in records} == {0}
    (event,) = [event for event in seen_by.seen.events() if event.pid == discovered.pid]
    assert event.process_executed.argv[:2] == ["/bin/true", "discovered"]
    assert event.process_executed.argv_truncated
    words = {word for event in seen_by.seen.events() for word in event.process_executed.argv}
    assert not words & {"before", "after"}


def test_an_untracked_process_is_seen_no_more(watch, tester) -> None:
    seen_by = watch()
    shell = tester("/bin/sh", "-c", "echo ready; read line; /bin/true; exit 0")
    seen_by.track(shell.pid)
    seen_by.kernel.untrack(shell.pid)
    shell.say("go")
    assert shell.finish() == 0
    assert seen_by.drain().records == 0


def test_the_kill_switch_silences_everything(watch, tester) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.set_enabled(False)
    subprocess.run(["/bin/true", "unseen"], check=True)
    seen_by.drain()
    counted = seen_by.kernel.counters()
    subprocess.run(["/bin/true", "unseen"], check=True)
    assert seen_by.kernel.counters() == counted
    seen_by.kernel.set_enabled(True)
    subprocess.run(["/bin/true", "seen"], check=True)
    words = [word for event in seen_by.drain().events() for word in event.process_executed.argv]
    assert "seen" in words
    assert "unseen" not in words[-10:]
