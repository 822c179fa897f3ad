"""Filters over processes where they work: in the real kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_agent.bpf.exclusions import ExcludedProgram
from agentsight_agent.bpf.records import ProcessRecord, TlsRun
from agentsight_agent.enrich.boot import read_node, wall_offset_ns
from agentsight_agent.sessions import SessionRule, SessionTracker
from agentsight_agent.sessions.filters import Filters, ProcessFilter

pytestmark = pytest.mark.kernel

_USERS = {"one": "61001", "two": "61002"}
# Reads a file, then has a child read another one when it is told to.
READER = """
import subprocess, sys
print("ready", flush=True)
for line in sys.stdin:
    open("/etc/passwd").close()
    subprocess.run(["/bin/sh", "-c", "while read x; do cat < /etc/os-release; break; done"],
                   input=b"x\\n", stdout=subprocess.DEVNULL)
    print("done", flush=True)
"""


def opened(seen) -> set[tuple[int, str]]:
    """Return (pid, path) of all files."""
    return {
        (event.pid, event.file_opened.path)
        for event in seen.events()
        if event.HasField("file_opened")
    }


def test_nothing_of_a_quiet_process_and_its_children_is_recorded_but_their_lives(
    watch, tester
) -> None:
    seen_by = watch()
    reader = tester(sys.executable, "-c", READER)
    loud = tester(sys.executable, "-c", READER)
    seen_by.kernel.track(reader.pid, seen_by.session, quiet=True)
    seen_by.track(loud.pid)
    seen_by.kernel.watch_files(True)
    for one in (reader, loud):
        one.say("go")
        assert one.line() == "done"
        one.finish()
    seen_by.until_exit(reader.pid)
    seen = seen_by.until_exit(loud.pid)

    kinds = [(r.kind, r.pid) for r in seen.of(ProcessRecord)]
    children = {pid for kind, pid in kinds if kind == "forked"}
    parents = {
        event.process_forked.parent_pid
        for event in seen.events()
        if event.HasField("process_forked")
    }
    assert {reader.pid, loud.pid} <= parents
    assert {pid for kind, pid in kinds if kind == "exited"} == children | {reader.pid, loud.pid}
    assert {record.session for record in seen.of(ProcessRecord)} == {seen_by.session}
    files = opened(seen)
    assert {(loud.pid, "/etc/passwd")} <= files
    of_loud = {loud.pid}
    for event in seen.events():
        if event.HasField("process_forked") and event.process_forked.parent_pid in of_loud:
            of_loud.add(event.pid)
    assert "/etc/os-release" in {path for _, path in files}
    assert {pid for pid, _ in files} <= of_loud


def test_an_excluded_program_is_quiet_from_its_first_instruction(watch, tester) -> None:
    """The kernel decides: nobody reads its records while the programs run."""
    script = "echo ready; read x; cat /etc/os-release; head -n 1 /etc/passwd"
    seen_by = watch()
    shell = tester("/bin/sh", "-c", script)
    seen_by.track(shell.pid)
    seen_by.kernel.watch_files(True)
    seen_by.kernel.exclude_programs(frozenset({ExcludedProgram("cat")}))
    shell.say("go")
    shell.finish()
    seen = seen_by.until_exit(shell.pid)
    files = {path for _, path in opened(seen)}
    assert "/etc/passwd" in files
    assert "/etc/os-release" not in files
    # That it began, executed and ended is told.
    assert [e for e in seen.events() if e.process_executed.argv[:1] == ["cat"]]


@pytest.mark.parametrize(
    ("program", "is_quiet"),
    [
        (ExcludedProgram("", 0), True),
        (ExcludedProgram("cat", 0), True),
        (ExcludedProgram("", 61001), False),
        (ExcludedProgram("cat", 61001), False),
        (ExcludedProgram("ca"), False),
    ],
)
def test_a_program_is_excluded_by_name_and_user(watch, tester, program, is_quiet) -> None:
    seen_by = watch()
    shell = tester("/bin/sh", "-c", "echo ready; read x; exec cat /etc/os-release")
    seen_by.track(shell.pid)
    seen_by.kernel.watch_files(True)
    seen_by.kernel.exclude_programs(frozenset({program}))
    shell.say("go")
    shell.finish()
    files = {path for _, path in opened(seen_by.until_exit(shell.pid))}
    assert ("/etc/os-release" not in files) is is_quiet


def test_nothing_is_taken_of_strangers_that_run_an_excluded_program(
    watch, tls_tester, libssl
) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.attach_tls(*libssl)
    name = Path(sys.executable).resolve().name
    said = []
    for excluded in (frozenset({ExcludedProgram(name, os.getuid())}), frozenset()):
        seen_by.kernel.exclude_programs(excluded)
        talker = tls_tester()
        talker.ask("open 1")
        talker.ask("say 0 secret")
        said.append([run.data for run in seen_by.drain().of(TlsRun) if run.pid == talker.pid])
    assert said[0] == []
    assert b"secret" in said[1]


def test_a_quiet_process_is_no_stranger_that_discovery_looks_at(watch, tls_tester, libssl) -> None:
    seen_by = watch(discover=True)
    seen_by.kernel.attach_tls(*libssl)
    talker = tls_tester()
    talker.ask("open 1")
    seen_by.kernel.track(talker.pid, seen_by.session, quiet=True)
    talker.ask("say 0 hidden")
    assert not [run for run in seen_by.drain().of(TlsRun) if run.pid == talker.pid]
    seen_by.track(talker.pid)
    talker.ask("say 0 told")
    runs = [run for run in seen_by.drain().of(TlsRun) if run.pid == talker.pid]
    assert {run.data for run in runs} == {b"told"}


def test_two_users_on_one_node_each_in_its_own_session(watch, tester) -> None:
    """A rule of one user does not take a process of the other, and its files stay its own."""
    seen_by = watch(discover=True)
    rules = [SessionRule(name, argv="os-release", user=uid) for name, uid in _USERS.items()]
    filters = Filters(exclude=(ProcessFilter(user="61003"),))
    tracker = SessionTracker(
        seen_by.kernel,
        read_node("test"),
        rules,
        wall_offset_ns=wall_offset_ns(),
        filters=filters,
    )
    for uid in (*_USERS.values(), "61003", "61004"):
        subprocess.run(
            ["/bin/sh", "-c", "exit 0", "/etc/os-release"],
            user=int(uid),
            check=True,
        )
    seen = seen_by.drain()
    events = [e for r in seen.of(ProcessRecord) for e in tracker.on_process(r)]
    started = {e.session_started.rule: e for e in events if e.HasField("session_started")}
    assert {rule: e.session_started.uid for rule, e in started.items()} == {
        "one": 61001,
        "two": 61002,
    }
    assert len({e.session for e in started.values()}) == 2
    assert {e.process_executed.uid for e in events if e.HasField("process_executed")} == {
        61001,
        61002,
    }
