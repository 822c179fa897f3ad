"""What the program after every system call costs: opening and closing a file, and getppid.

Prints ns of CPU per operation in three states, alternating: nothing attached; attached while the
process is in no session; in a session. Needs root. Usage: bench_effects.py [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.kernel import Kernel

OPERATIONS = 20_000
SESSION = 1
STATES = ("off", "not tracked", "tracked")


def open_and_close() -> None:
    """Open and close a file by its absolute path."""
    os.close(os.open("/dev/null", os.O_RDONLY))


def open_relative() -> None:
    """The same by a relative path, whose directory has to be walked."""
    os.close(os.open("null", os.O_RDONLY))


def ns_per_operation(operation: Callable[[], object]) -> float:
    """Return the CPU time of one operation."""
    began = time.process_time_ns()
    for _ in range(OPERATIONS):
        operation()
    return (time.process_time_ns() - began) / OPERATIONS


def measure(kernel: Kernel, operation: Callable[[], object]) -> dict[str, float]:
    """Measure in all states, once."""
    figures = {}
    for state in STATES:
        kernel.watch_files(state != "off")
        if state == "tracked":
            kernel.track(os.getpid(), SESSION)
        figures[state] = ns_per_operation(operation)
        kernel.untrack(os.getpid())
        while kernel.drain(0).more:
            pass
    kernel.watch_files(False)
    return figures


def main() -> None:
    """Measure and print a table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    os.chdir("/dev")
    operations = {
        "getppid": os.getppid,
        "open + close, absolute": open_and_close,
        "open + close, relative": open_relative,
    }
    print("| operation | off | attached, not tracked | tracked |")
    print("|---|---|---|---|")
    with Kernel(KernelSettings(ring_bytes=64 << 20)) as kernel:
        for name, operation in operations.items():
            runs = [measure(kernel, operation) for _ in range(rounds)]
            middle = [median(run[state] for run in runs) for state in STATES]
            cells = [f"{ns:.0f} ns ({ns / middle[0]:.2f})" for ns in middle]
            print(f"| {name} | {' | '.join(cells)} |")
        counters = kernel.counters()
        print(f"\nrecords {counters.submitted}, lost {counters.lost_records}")


if __name__ == "__main__":
    main()
