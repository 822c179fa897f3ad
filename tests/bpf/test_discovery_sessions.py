"""A session over real processes: what ran before, what is forked later, and its end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.kernel import Kernel
from agentsight_agent.bpf.records import ProcessRecord
from agentsight_agent.enrich.boot import read_node, wall_offset_ns
from agentsight_agent.enrich.procfs import read_argv
from agentsight_agent.sessions import SessionRule, SessionTracker
from agentsight_core.clocks import boot_ns
from agentsight_core.pb import events_pb2 as pb

pytestmark = pytest.mark.kernel

# Starts a child, then on every line 23 programs, and at the end of its input ends with status 3.
AGENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
for line in sys.stdin:
    for number in range(23):
        subprocess.run(["true", str(number)], check=True)
    print("done", flush=True)
child.kill()
child.wait()
sys.exit(3)
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with Kernel(KernelSettings(ring_bytes=1 << 20, discover=True)) as kernel:
        yield kernel


def tracker_over(kernel: Kernel, *rules: SessionRule) -> SessionTracker:
    node = read_node("test")
    return SessionTracker(kernel, node, rules, wall_offset_ns=wall_offset_ns())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def follow(
    kernel: Kernel, tracker: SessionTracker, until: Callable[[list[pb.Event]], bool]
) -> list[pb.Event]:
    """Give the tracker the kernel's records until its events satisfy `until`; return them."""
    events: list[pb.Event] = []
    deadline = time.monotonic() + 20
    while not until(events):
        assert time.monotonic() < deadline, [e.WhichOneof("body") for e in events]
        for item in kernel.drain(wall_offset_ns()).items:
            if isinstance(item, ProcessRecord):
                events += tracker.on_process(item)
        time.sleep(0.002)
    return events


def ended(events: list[pb.Event]) -> bool:
    return any(event.HasField("session_ended") for event in events)


def test_a_running_tree_is_followed_to_its_end(kernel: Kernel) -> None:
    tracker = tracker_over(kernel)
    command = [sys.executable, "-c", AGENT]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as agent:
        child = int(agent.stdout.readline())
        # Popen returns a moment before the kernel has put the arguments into place.
        wait_until(lambda: read_argv(child) == ("sleep", "600"))
        while kernel.drain(0).records:
            pass
        began = tracker.promote(agent.pid, boot_ns())
        assert [e.pid for e in began] == [agent.pid, agent.pid, child]
        assert began[0].session_started.argv == command
        assert list(began[2].process_executed.argv) == ["sleep", "600"]
        agent.stdin.write("go\n")
        agent.stdin.flush()
        assert agent.stdout.readline() == "done\n"
        agent.stdin.close()
        events = follow(kernel, tracker, ended)

    session = began[0].session
    assert {event.session for event in events} == {session}
    runs = [e for e in events if e.HasField("process_executed")]
    assert [list(e.process_executed.argv) for e in runs] == [["true", str(n)] for n in range(23)]
    forks = {e.pid: e.process_forked for e in events if e.HasField("process_forked")}
    assert all(forks[e.pid].parent_pid == agent.pid for e in runs)
    gone = [e.pid for e in events if e.HasField("process_exited")]
    assert sorted(gone) == sorted([*forks, child, agent.pid])
    assert events[-1].session_ended == pb.SessionEnded(exit_code=3)
    # The start time of /proc is rounded, the one of the records exact; both name one process.
    started = began[0].session_started.root_start_boot_ns
    assert 0 <= boot_ns() - started < 60_000_000_000


def test_a_rule_begins_at_exec_and_nobody_else_is_followed(kernel: Kernel) -> None:
    mark = "agentsight-test-rule"
    tracker = tracker_over(kernel, SessionRule("marked", argv=mark))
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    script = "import subprocess; subprocess.run(['true'], check=True)"
    with subprocess.Popen([sys.executable, "-c", script, mark]) as agent:
        events = follow(kernel, tracker, ended)
    first, second = events[:2]
    assert first.session_started.rule == "marked"
    assert first.session_started.root_pid == agent.pid
    assert list(second.process_executed.argv)[-1] == mark
    assert not second.process_executed.already_running
    assert second.process_executed.cwd
    assert {event.session for event in events} == {first.session}
    assert not tracker.sessions
