"""Lines typed into a bash with a terminal of its own."""

import os
import pty
import subprocess

import pytest
from agentsight_agent.bpf.records import PayloadSource
from agentsight_agent.shells import readline_places

pytestmark = pytest.mark.kernel


@pytest.fixture
def shell():
    """Start a bash on a terminal; return its process and a function that types."""
    ours, theirs = pty.openpty()
    command = ["bash", "--norc", "--noprofile", "-i"]
    bash = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    yield bash, lambda text: os.write(ours, text.encode())
    bash.kill()
    bash.wait()
    os.close(ours)


def typed(seen) -> bytes:
    runs = [run for run in seen.runs(written=False) if run.source == PayloadSource.READLINE]
    return b"".join(run.data for run in runs)


@pytest.mark.every_loader
def test_lines_are_taken_of_tracked_shells_only(watch, shell) -> None:
    bash, type_in = shell
    seen_by = watch()
    seen_by.kernel.watch_readline(readline_places())
    type_in("true stranger\r")
    type_in("printf '' > /dev/null; kill -STOP $$\r")
    os.waitid(os.P_PID, bash.pid, os.WSTOPPED)
    assert typed(seen_by.drain()) == b""
    seen_by.track(bash.pid)
    type_in("true one\r\rexit 3\r")
    bash.send_signal(18)
    assert bash.wait(timeout=30) == 3
    seen = seen_by.until_exit(bash.pid)
    assert typed(seen) == b"true one\0\0exit 3\0"


def test_nothing_is_attached_any_more_when_it_is_not_wanted(watch, shell) -> None:
    bash, type_in = shell
    seen_by = watch()
    seen_by.kernel.watch_readline(readline_places())
    seen_by.kernel.watch_readline({})
    seen_by.track(bash.pid)
    type_in("exit 0\r")
    assert bash.wait(timeout=30) == 0
    assert typed(seen_by.until_exit(bash.pid)) == b""
