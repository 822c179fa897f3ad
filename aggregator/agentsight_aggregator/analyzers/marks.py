"""What happens to a process at one moment: signals, limits it runs into, kills for memory.

Also when the recording of its session begins to be limited, and when that has ended.
Must not decide what it means for the process; its exit says that.
"""

from __future__ import annotations

import errno
import signal

from agentsight_core.pb import events_pb2 as events

from agentsight_aggregator.analyzers.effect_state import MarkEffect
from agentsight_aggregator.analyzers.placing import newest, note
from agentsight_aggregator.analyzers.state import ProcessState

# Calls that take descriptors, memory, processes or space, by their number on x86-64
# (arch/x86/entry/syscalls/syscall_64.tbl).
_CALLS = {
    1: "write",
    2: "open",
    9: "mmap",
    10: "mprotect",
    12: "brk",
    18: "pwrite64",
    20: "writev",
    22: "pipe",
    25: "mremap",
    32: "dup",
    33: "dup2",
    41: "socket",
    43: "accept",
    53: "socketpair",
    56: "clone",
    57: "fork",
    58: "vfork",
    72: "fcntl",
    77: "ftruncate",
    83: "mkdir",
    85: "creat",
    257: "openat",
    258: "mkdirat",
    285: "fallocate",
    288: "accept4",
    290: "eventfd2",
    291: "epoll_create1",
    293: "pipe2",
    435: "clone3",
    437: "openat2",
}
_RESULTS = {1: "ignored", 2: "already_pending", 3: "no_room", 4: "info_lost"}


def take_signal(process: ProcessState, item: events.Event, limit: int) -> str:
    """Note a signal from or to `process`; return its name."""
    sent = item.signal_sent
    name = _signal_name(sent.signal)
    facts: dict[str, str | int] = {
        "agentsight.signal.name": name,
        "agentsight.signal.sender_pid": sent.sender_pid,
        "agentsight.signal.target_pid": sent.target_pid,
    }
    if sent.result:
        facts["agentsight.signal.result"] = _RESULTS.get(sent.result, str(sent.result))
    note(process, MarkEffect(time_ns=item.wall_ns, name="signal", facts=facts), limit)
    return name


def take_limit(process: ProcessState, item: events.Event, limit: int) -> tuple[str, int]:
    """Note a limit that `process` ran into; return the error and how many times are new."""
    hit = item.limit_hit
    error = errno.errorcode.get(hit.error, str(hit.error))
    call = _CALLS.get(hit.call, f"call {hit.call}")
    for effect in newest(process):
        if isinstance(effect, MarkEffect) and effect.facts.get("agentsight.limit.call") == call:
            before = effect.facts["agentsight.limit.count"]
            if effect.facts["error.type"] == error and isinstance(before, int):
                effect.facts["agentsight.limit.count"] = hit.count
                return error, max(0, hit.count - before)
    facts: dict[str, str | int] = {
        "agentsight.limit.call": call,
        "agentsight.limit.count": hit.count,
        "error.type": error,
    }
    note(process, MarkEffect(time_ns=item.wall_ns, name="limit", facts=facts), limit)
    return error, hit.count


def take_oom_kill(process: ProcessState, item: events.Event, limit: int) -> None:
    """Note that the kernel chose `process` to be killed."""
    process.oom_killed = True
    note(process, MarkEffect(time_ns=item.wall_ns, name="oom_kill"), limit)


def take_capture_limited(process: ProcessState, item: events.Event, limit: int) -> dict[str, int]:
    """Note that something of the session is left out from now on, or until now; return how much."""
    told = item.capture_limited
    facts: dict[str, str | int] = {
        "agentsight.capture.limit": told.limit,
        "agentsight.capture.state": "ended" if told.ended else "began",
    }
    left_out = {"rate": told.over_rate, "sampled": told.not_sampled}
    facts |= {f"agentsight.capture.{name}": count for name, count in left_out.items() if count}
    note(process, MarkEffect(time_ns=item.wall_ns, name="capture_limited", facts=facts), limit)
    return left_out


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
