"""Reads processes from /proc, where every one of them may vanish at any moment.

A vanished process is None or an empty value, never an exception. Must not keep anything.
Source: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from agentsight_agent.enrich.containers import container_id

PROC = "/proc"
_NS_PER_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Process:
    """What is known of one process; `session` is 0 while it belongs to none.

    `quiet`: a filter wants nothing recorded of it and of what it starts.

    `start_boot_ns` is exact when a kernel record told it, else rounded to a clock tick (10 ms).
    """

    pid: int
    start_boot_ns: int
    ppid: int = 0
    exe: str = ""
    argv: tuple[str, ...] = ()
    cwd: str = ""
    uid: int = 0
    comm: str = ""
    container_id: str = ""
    session: int = 0
    quiet: bool = False


def read_process(pid: int, proc: str = PROC) -> Process | None:
    """Return what /proc says about process `pid`; None when there is no such process."""
    stat = _stat(pid, proc)
    if stat is None:
        return None
    comm, fields = stat
    return Process(
        pid=pid,
        start_boot_ns=int(fields[19]) * _NS_PER_TICK,
        ppid=int(fields[1]),
        exe=read_link(f"{proc}/{pid}/exe"),
        argv=read_argv(pid, proc),
        cwd=read_cwd(pid, proc),
        uid=_uid(pid, proc),
        comm=comm,
        container_id=read_container_id(pid, proc) or "",
    )


def is_running(pid: int, start_boot_ns: int, proc: str = PROC) -> bool:
    """Say whether `pid` is still the process that started at `start_boot_ns` (to a clock tick)."""
    stat = _stat(pid, proc)
    return stat is not None and same_start(int(stat[1][19]) * _NS_PER_TICK, start_boot_ns)


def same_start(one_ns: int, other_ns: int) -> bool:
    """Say whether two start times, each exact or rounded to a clock tick, can be of one process."""
    return abs(one_ns - other_ns) <= 2 * _NS_PER_TICK


def read_argv(pid: int, proc: str = PROC) -> tuple[str, ...]:
    """Return the command line of a process; empty for kernel threads and vanished ones."""
    text = _read(f"{proc}/{pid}/cmdline")
    if not text:
        return ()
    return tuple(text.removesuffix("\0").split("\0"))


def read_cwd(pid: int, proc: str = PROC) -> str:
    """Return the working directory of a process as it sees it; empty when it vanished."""
    return read_link(f"{proc}/{pid}/cwd")


def read_container_id(pid: int, proc: str = PROC) -> str | None:
    """Return the container a process is in, empty for none; None when the process vanished."""
    text = _read(f"{proc}/{pid}/cgroup")
    return None if text is None else container_id(text)


def read_cgroup(pid: int, proc: str = PROC) -> str:
    """Return the text of /proc/PID/cgroup; empty when the process vanished."""
    return _read(f"{proc}/{pid}/cgroup") or ""


def mount_namespace(pid: int | str, proc: str = PROC) -> str:
    """Return the name of the mount namespace of a process; empty when it vanished."""
    return read_link(f"{proc}/{pid}/ns/mnt")


def pids(proc: str = PROC) -> list[int]:
    """Return the ids of all processes."""
    return [int(name) for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208 - 3x faster


def descendants(root: int, proc: str = PROC) -> Iterator[int]:
    """Yield the ids of the children of `root`, their children, and so on, parents first."""
    waiting = [root]
    while waiting:
        found = children(waiting.pop(), proc)
        waiting.extend(found)
        yield from found


def children(pid: int, proc: str = PROC) -> list[int]:
    """Return the ids of the children of a process (needs CONFIG_PROC_CHILDREN, on everywhere)."""
    try:
        threads = os.listdir(f"{proc}/{pid}/task")  # noqa: PTH208 - see pids
    except OSError:
        return []
    found: list[int] = []
    for thread in threads:
        text = _read(f"{proc}/{pid}/task/{thread}/children")
        found.extend(map(int, (text or "").split()))
    return found


def _stat(pid: int, proc: str) -> tuple[str, list[str]] | None:
    """Return name and fields 3 and following of /proc/PID/stat; None for zombies and nobody."""
    text = _read(f"{proc}/{pid}/stat")
    if text is None:
        return None
    # The name in parentheses may hold blanks and parentheses itself.
    opening, closing = text.find("("), text.rfind(")")
    fields = text[closing + 2 :].split()
    return (
        None
        if len(fields) < 20 or fields[0] in {"Z", "X"}
        else (text[opening + 1 : closing], fields)
    )


def _uid(pid: int, proc: str) -> int:
    for line in (_read(f"{proc}/{pid}/status") or "").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[1])
    return 0


def _read(path: str) -> str | None:
    try:
        # Not by pathlib and without a buffer: they take longer than the kernel.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.readall().decode(errors="replace")
    except OSError:
        return None


def read_link(path: str) -> str:
    """Return where a link points to; empty when it is gone."""
    try:
        # Names are bytes; protobuf strings are UTF-8.
        return os.readlink(path.encode()).decode(errors="replace")  # noqa: PTH115 - see above
    except OSError:
        return ""
