"""Signals, limits and kills for memory, seen by the real kernel."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_core.pb import events_pb2 as pb

pytestmark = pytest.mark.kernel

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LIMIT_BYTES = 32 << 20
OPENAT = 257


@pytest.fixture
def watched(watch, tester):
    """Let a Python program run in a session."""

    def run(code: str):
        seen_by = watch()
        python = tester(sys.executable, "-c", f"print('ready', flush=True); input()\n{code}")
        seen_by.track(python.pid)
        seen_by.kernel.watch_files(True)
        return seen_by, python

    return run


def of_kind(events, kind: str) -> list[tuple[int, pb.Event]]:
    return [(event.pid, getattr(event, kind)) for event in events if event.HasField(kind)]


@pytest.mark.every_loader
def test_a_signal_is_told_with_sender_and_target(watched) -> None:
    code = (
        "import os, signal, time\n"
        "child = os.fork()\n"
        "child or time.sleep(60)\n"
        "os.kill(child, signal.SIGTERM); os.waitpid(child, 0); print(child, flush=True)"
    )
    seen_by, python = watched(code)
    python.say("go")
    child = int(python.line())
    seen = seen_by.until_exit(python.pid)
    assert of_kind(seen.events(), "signal_sent") == [
        (python.pid, pb.SignalSent(sender_pid=python.pid, target_pid=child, signal=signal.SIGTERM))
    ]


def test_a_signal_from_outside_is_told_of_its_target(watched) -> None:
    seen_by, python = watched("import time; time.sleep(60)")
    os.kill(python.pid, signal.SIGKILL)
    seen = seen_by.until_exit(python.pid)
    ((pid, sent),) = of_kind(seen.events(), "signal_sent")
    assert (pid, sent.sender_pid, sent.signal) == (python.pid, os.getpid(), signal.SIGKILL)


def test_a_fault_is_a_signal_of_the_kernel(watched) -> None:
    seen_by, python = watched("import ctypes; ctypes.string_at(8)")
    python.say("go")
    seen = seen_by.until_exit(python.pid)
    assert of_kind(seen.events(), "signal_sent") == [
        (python.pid, pb.SignalSent(sender_pid=0, target_pid=python.pid, signal=signal.SIGSEGV))
    ]


def test_running_out_of_descriptors_is_told_at_powers_of_two(watched) -> None:
    code = (
        "import os, resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))\n"
        "for _ in range(40):\n"
        "    try: os.open('/dev/null', os.O_RDONLY)\n"
        "    except OSError: pass"
    )
    seen_by, python = watched(code)
    python.say("go")
    seen = seen_by.until_exit(python.pid)
    hits = [hit for _, hit in of_kind(seen.events(), "limit_hit")]
    assert {(hit.call, hit.error) for hit in hits} == {(OPENAT, errno.EMFILE)}
    assert [hit.count for hit in hits] == [1, 2, 4, 8, 16]


@pytest.fixture
def small_memory(tmp_path) -> Iterator[Path]:
    """A control group with little memory, of version 1 or 2."""
    root = V1 if V1.exists() else V2
    group = root / f"agentsight-test-{os.getpid()}"
    if root == V2:
        (V2 / "cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    limit = "memory.limit_in_bytes" if root == V1 else "memory.max"
    (group / limit).write_text(str(LIMIT_BYTES))
    yield group
    group.rmdir()


def test_a_process_killed_for_memory_is_told(watched, small_memory) -> None:
    seen_by, python = watched("data = bytearray(1 << 29); data[::4096] = bytes(len(data) // 4096)")
    (small_memory / "cgroup.procs").write_text(str(python.pid))
    python.say("go")
    seen = seen_by.until_exit(python.pid)
    assert python.finish() == -signal.SIGKILL
    assert [pid for pid, _ in of_kind(seen.events(), "oom_killed")] == [python.pid]
    (sent,) = [sent for _, sent in of_kind(seen.events(), "signal_sent")]
    assert (sent.sender_pid, sent.signal) == (0, signal.SIGKILL)
