"""A /proc made of files, and a kernel side that only remembers what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agentsight_agent.enrich.boot import Node
from agentsight_agent.sessions import SessionRule, SessionTracker
from agentsight_core.pb import events_pb2 as pb

TICK_NS = 10_000_000
NODE = Node(name="node-1", cluster="test", boot_id="boot", agent_id="agent")
WALL_OFFSET_NS = 1_700_000_000_000_000_000


class FakeProc:
    """Writes what proc(5) says the kernel shows."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        pid: int,
        *argv: str,
        parent: int = 1,
        start_ns: int = 0,
        exe: str = "",
        comm: str = "",
        cgroup: str = "0::/\n",
        uid: int = 0,
    ) -> None:
        directory = self.root / str(pid)
        (directory / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
        exe = exe or (argv[0] if argv else "/bin/true")
        comm = comm or exe.rpartition("/")[2][:15]
        fields = ["S", str(parent), *["0"] * 17, str(start_ns // TICK_NS), *["0"] * 30]
        (directory / "stat").write_text(f"{pid} ({comm}) {' '.join(fields)}\n")
        (directory / "cmdline").write_bytes(b"".join(a.encode() + b"\0" for a in argv))
        (directory / "status").write_text(f"Name:\t{comm}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        (directory / "cgroup").write_text(cgroup)
        for link, target in (("exe", exe), ("cwd", "/srv/project")):
            (directory / link).unlink(missing_ok=True)
            (directory / link).symlink_to(target)
        (directory / "task" / str(pid) / "children").touch()
        siblings = self.root / str(parent) / "task" / str(parent) / "children"
        if siblings.exists():
            siblings.write_text(f"{siblings.read_text()}{pid} ")

    def remove(self, pid: int) -> None:
        for path in sorted((self.root / str(pid)).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        (self.root / str(pid)).rmdir()


@dataclass
class FakeKernel:
    """The `tracked` map."""

    tracked: dict[int, int] = field(default_factory=dict)

    quiet: set[int] = field(default_factory=set)
    muted: set[int] = field(default_factory=set)

    def track(self, pid: int, session: int, *, quiet: bool = False) -> None:
        self.tracked[pid] = session
        if quiet:
            self.quiet.add(pid)

    def mute_process(self, pid: int) -> None:
        self.muted.add(pid)

    def untrack(self, pid: int) -> None:
        self.tracked.pop(pid, None)


@dataclass
class Record:
    event: bytes


def forked(pid: int, parent: int, session: int, at_ns: int) -> Record:
    event = pb.Event(boot_ns=at_ns, session=session, pid=pid, tid=pid)
    event.process_forked.parent_pid = parent
    event.process_forked.start_boot_ns = at_ns
    return Record(event.SerializeToString())


def executed(
    pid: int, argv: list[str], session: int, at_ns: int, *, start_ns: int, truncated: bool = False
) -> Record:
    event = pb.Event(boot_ns=at_ns, session=session, pid=pid, tid=pid)
    body = event.process_executed
    body.argv.extend(argv)
    body.exe, body.start_boot_ns, body.argv_truncated = argv[0], start_ns, truncated
    body.comm = argv[0].rpartition("/")[2][:15]
    return Record(event.SerializeToString())


def exited(pid: int, session: int, at_ns: int, *, code: int = 0, signal: int = 0) -> Record:
    event = pb.Event(boot_ns=at_ns, session=session, pid=pid, tid=pid)
    event.process_exited.exit_code = code
    event.process_exited.exit_signal = signal
    return Record(event.SerializeToString())


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


class World:
    """One node: its /proc, its kernel side, its sessions; and the records of the kernel."""

    def __init__(self, proc: FakeProc, kernel: FakeKernel) -> None:
        self.proc, self.kernel = proc, kernel
        self.forked, self.executed, self.exited = forked, executed, exited
        self.offset_ns = WALL_OFFSET_NS

    def tracker(self, *rules: SessionRule, **parts: Any) -> SessionTracker:
        return SessionTracker(
            self.kernel,
            NODE,
            rules,
            wall_offset_ns=WALL_OFFSET_NS,
            proc=str(self.proc.root),
            **parts,
        )


@pytest.fixture
def world(proc: FakeProc, kernel: FakeKernel) -> World:
    return World(proc, kernel)


@pytest.fixture
def kinds():
    def names(events: list[pb.Event]) -> list[str]:
        return [str(event.WhichOneof("body")) for event in events]

    return names
