"""What an unrelated C build pays for our program after every system call of the machine.

In turns: nothing attached; attached, but switched off, so that it returns at once; attached and at
work for a process that does nothing. The first two differ by what the kernel takes to call any
program there. Prints JSON. Needs root and a quiet machine.

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
from pathlib import Path

from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.kernel import Kernel

from bench.overhead.driver import Driver
from bench.overhead.sources import make_sources

_BUILDS = 4
_STATES = ("switched off", "at work")


def _took(driver: Driver) -> tuple[float, float]:
    """Return the time and the CPU time of some builds, in s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    driver.compile(_BUILDS)
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _attach(kernel: Kernel, on: bool, *, at_work: bool = False) -> None:
    kernel.watch_files(on)
    kernel.watch_stdio(on)
    kernel.watch_datagrams(on)
    kernel.set_enabled(at_work)


def floor(folder: Path, pairs: int) -> dict[str, object]:
    """Return the added percents of each state: median and quartiles."""
    make_sources(folder)
    driver = Driver(0, folder)
    added: dict[str, list[tuple[float, float]]] = {state: [] for state in _STATES}
    with Kernel(KernelSettings(discover=True)) as kernel:
        kernel.track(os.getppid(), 1)
        _took(driver)
        for number in range(pairs):
            for state in _STATES[:: 1 if number % 2 else -1]:
                _attach(kernel, False)
                free = _took(driver)
                _attach(kernel, True, at_work=state == "at work")
                paid = _took(driver)
                _attach(kernel, False)
                again = _took(driver)
                wall, cpu = (
                    100 * (2 * mine / (one + other) - 1)
                    for mine, one, other in zip(paid, free, again, strict=True)
                )
                added[state].append((wall, cpu))
                while kernel.drain(0).records:
                    pass
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
