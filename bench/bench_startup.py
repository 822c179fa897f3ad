"""How long `agentsight up` takes until it is ready, and how much memory its processes hold then.

Run as root: `.venv/bin/python bench/bench_startup.py`. The yardstick of the times is a bare Python
interpreter that imports nothing, that of the sizes such an interpreter's. Three starts in fresh
directories, the minimum counts; then one more in the last directory, as a restart has it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from agentsight_core.testing.running_up import RunningUp, running_up

ROUNDS = 3
PROCESSES = ("agent", "aggregator", "nats-server")


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB (proc_pid_status(5), VmRSS)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


def interpreter() -> tuple[float, float]:
    """Return seconds to the first line of a bare interpreter, and its MiB."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.monotonic()
        command = [sys.executable, "-c", "print(flush=True); input()"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            best = min(best, time.monotonic() - begin)
            size = rss_mib(process.pid)
            process.communicate("\n")
    return best, size


def sizes(up: RunningUp) -> dict[str, float]:
    """Return the MiB of every process of a running system."""
    found = {name: rss_mib(up.pid(name)) for name in PROCESSES}
    return {"up itself": rss_mib(up.process.pid), **found}


@dataclass(frozen=True, slots=True)
class Start:
    """One start and stop."""

    ready_s: float
    stopped_s: float
    sizes_mib: dict[str, float]


async def start(folder: Path) -> Start:
    """Start the system, look at it when it is ready, stop it."""
    begin = time.monotonic()
    async with running_up(folder) as up:
        ready_s = time.monotonic() - begin
        found = sizes(up)
        begin = time.monotonic()
        await up.stop()
    return Start(ready_s, time.monotonic() - begin, found)


async def measure() -> None:
    """Print all figures."""
    bare_s, bare_mib = interpreter()
    print(f"bare interpreter: {bare_s * 1000:.0f} ms, {bare_mib:.1f} MiB")
    first: list[Start] = []
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="agentsight-bench-") as folder:
            first.append(await start(Path(folder)))
            if number == ROUNDS - 1:
                again = await start(Path(folder))
    ready_s = min(one.ready_s for one in first)
    stopped_s = min(one.stopped_s for one in first)
    print(f"ready after: {ready_s:.2f} s = {ready_s / bare_s:.0f} interpreters")
    print(f"stopped after: {stopped_s:.2f} s = {stopped_s / bare_s:.0f} interpreters")
    print(f"ready again in the same directory after: {again.ready_s:.2f} s")
    for name, size in first[-1].sizes_mib.items():
        print(f"{name}: {size:.1f} MiB = {size / bare_mib:.1f} interpreters")


def main() -> None:
    """Run the measurement."""
    asyncio.run(measure())


if __name__ == "__main__":
    main()
