"""What an unrelated C build pays for our program after every system call of the machine.

In turns: a tracepoint of one call that nobody makes; our program, but switched off, so that it
returns at once; our program at work for a process that does nothing. Each between two runs with
nothing. The first is what the kernel takes for having any system call traced, the second adds what
it takes to call any program there. Prints JSON. Needs root and a quiet machine.

    sudo .venv/bin/python -m bench.overhead.floor [PAIRS]      20 if not said
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.kernel import Kernel

from bench.overhead.driver import Driver
from bench.overhead.sources import make_sources

_BUILDS = 4
# acct(2) switches process accounting.
_NEVER_CALLED = "events/syscalls/sys_exit_acct/enable"
_TRACING = Path("/sys/kernel/tracing/instances/agentsight-floor")


def _took(driver: Driver) -> tuple[float, float]:
    """Return the time and the CPU time of some builds, in s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    driver.compile(_BUILDS)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextmanager
def _another_call_traced(kernel: Kernel) -> Iterator[None]:
    del kernel
    _TRACING.mkdir()
    try:
        (_TRACING / _NEVER_CALLED).write_text("1")
        yield
    finally:
        _TRACING.rmdir()


@contextmanager
def _attached(kernel: Kernel, *, at_work: bool) -> Iterator[None]:
    watches = kernel.watch_files, kernel.watch_stdio, kernel.watch_datagrams
    kernel.set_enabled(at_work)
    for watch in watches:
        watch(True)
    try:
        yield
    finally:
        for watch in watches:
            watch(False)
        while kernel.drain(0).records:
            pass


_STATES = {
    "another call traced": _another_call_traced,
    "switched off": partial(_attached, at_work=False),
    "at work": partial(_attached, at_work=True),
}


def floor(folder: Path, pairs: int) -> dict[str, object]:
    """Return the added percents of each state: median and quartiles."""
    make_sources(folder)
    driver = Driver(0, folder)
    added: dict[str, list[tuple[float, float]]] = {state: [] for state in _STATES}
    with Kernel(KernelSettings(discover=True)) as kernel:
        kernel.track(os.getppid(), 1)
        _took(driver)
        for number in range(pairs):
            for state in list(_STATES)[:: 1 if number % 2 else -1]:
                free = _took(driver)
                with _STATES[state](kernel):
                    paid = _took(driver)
                again = _took(driver)
                wall, cpu = (
                    100 * (2 * mine / (one + other) - 1)
                    for mine, one, other in zip(paid, free, again, strict=True)
                )
                added[state].append((wall, cpu))
    return {
        state: {
            what: [round(value, 2) for value in statistics.quantiles(values, n=4)]
            for what, values in zip(
                ("wall_percent", "cpu_percent"), zip(*one, strict=True), strict=True
            )
        }
        for state, one in added.items()
    }


def main() -> None:
    """Measure and print."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory(prefix="agentsight-floor-") as name:
        print(json.dumps({"pairs": pairs, **floor(Path(name), pairs)}, indent=2))


if __name__ == "__main__":
    main()
