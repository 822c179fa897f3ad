"""Reading processes that exist, vanish, and have odd names."""

from __future__ import annotations

import os
import time
from pathlib import Path

from agentsight_agent.enrich import boot, procfs
from agentsight_core.clocks import boot_ns


def test_this_process() -> None:
    process = procfs.read_process(os.getpid())
    assert process is not None
    assert process.ppid == os.getppid()
    assert process.cwd == str(Path.cwd())
    assert process.uid == os.getuid()
    assert process.argv == procfs.read_argv(os.getpid())
    assert 0 < process.start_boot_ns < boot_ns()
    assert procfs.is_running(os.getpid(), process.start_boot_ns)
    assert not procfs.is_running(os.getpid(), process.start_boot_ns - 1_000_000_000)
    assert os.getpid() in procfs.children(os.getppid())


def test_nobody() -> None:
    nobody = 2**22 + 1
    assert procfs.read_process(nobody) is None
    assert procfs.read_argv(nobody) == ()
    assert procfs.read_container_id(nobody) is None
    assert procfs.read_cwd(nobody) == ""
    assert procfs.children(nobody) == []


def test_a_name_may_hold_parentheses_and_blanks(tmp_path: Path) -> None:
    directory = tmp_path / "7"
    directory.mkdir()
    numbers = " ".join(["3", *["0"] * 17, "500", *["0"] * 20])
    (directory / "stat").write_text(f"7 (a) b (c) S {numbers}\n")
    (directory / "cmdline").write_bytes(b"a\xff\0\0b\0")
    process = procfs.read_process(7, str(tmp_path))
    assert process is not None
    assert (process.comm, process.ppid) == ("a) b (c", 3)
    # Not UTF-8, and an empty argument in the middle.
    assert process.argv == ("a\ufffd", "", "b")


def test_zombies_are_gone(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(f"7 (x) Z {' '.join(['0'] * 40)}\n")
    assert procfs.read_process(7, str(tmp_path)) is None


def test_clock_offset() -> None:
    wall_ns = boot_ns() + boot.wall_offset_ns()
    assert abs(wall_ns - time.time_ns()) < 1_000_000_000


def test_machine_id(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    second.write_text("0123456789abcdef\n")
    assert boot.machine_id((str(first), str(second))) == "0123456789abcdef"
    first.write_text("uninitialized\n")
    assert boot.machine_id((str(first), str(second))) == "0123456789abcdef"
    assert boot.machine_id((str(first),)) == ""


def test_node_identity_is_stable_and_of_its_cluster() -> None:
    one, again, other = boot.read_node("a"), boot.read_node("a"), boot.read_node("b")
    assert one == again
    assert one.agent_id != other.agent_id
    assert one.boot_id == other.boot_id
    assert boot.read_node("a", name="n1").name == "n1"
