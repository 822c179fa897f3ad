"""What taking records out of the ring costs, per record.

Run as root: `.venv/bin/python bench/bench_drain.py`. TLS records are made by writes of this process
on a connection over memory, file records by opening and closing a file; batches of some 256 KiB are
drained and dropped. CPU time, minimum of the rounds. `over_copy` compares with copying the same
payload once, each record by itself, in Python.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from agentsight_agent.bpf.control import KernelSettings
from agentsight_agent.bpf.kernel import Kernel
from agentsight_agent.tls.discovery import TlsFile, inspect
from bench_hooks import connection, own_library

ROUNDS = 12
BATCH_BYTES = 256 << 10
SIZES = (64, 1024, 4096)


def drain_us(kernel: Kernel, fill: Callable[[], object], times: int) -> float:
    """Return the CPU time of draining one record in µs."""
    best = float("inf")
    for _ in range(ROUNDS):
        for _ in range(times):
            fill()
        begin = time.process_time_ns()
        drained = kernel.drain(0, 64 << 20)
        spent = time.process_time_ns() - begin
        assert drained.records >= times
        assert drained.lost_records == 0
        best = min(best, spent / drained.records / 1000)
    return best


def copy_us(size: int, times: int) -> float:
    """Return the CPU time of one slice of `size` bytes in µs."""
    block = os.urandom(size * times)
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        for at in range(0, len(block), size):
            block[at : at + size]
        best = min(best, (time.process_time_ns() - begin) / times / 1000)
    return best


def tls_figures(kernel: Kernel) -> dict[str, dict[str, float]]:
    """Return the cost of TLS records of each size."""
    client, _ = connection()
    figures = {}
    for size in SIZES:
        times = max(BATCH_BYTES // size, 64)
        payload = bytes(size)
        cost = drain_us(kernel, lambda: client.write(payload), times)  # noqa: B023  called at once
        copied = copy_us(size, times)
        figures[f"tls_{size}_bytes"] = {
            "us_per_record": round(cost, 3),
            "mb_per_s": round(size / cost),
            "over_copy": round(cost / copied, 2),
        }
    return figures


def file_figures(kernel: Kernel) -> dict[str, float]:
    """Return the cost of file events, encoded as protobuf."""
    kernel.watch_files(True)
    path = os.devnull
    cost = drain_us(kernel, lambda: os.close(os.open(path, os.O_RDONLY)), 500)
    kernel.watch_files(False)
    return {"us_per_record": round(cost, 3)}


def main() -> None:
    found = inspect(own_library())
    assert isinstance(found, TlsFile)
    with Kernel(KernelSettings(ring_bytes=64 << 20)) as kernel:
        kernel.attach_tls(found.path, found.hooks)
        kernel.track(os.getpid(), 1)
        figures = {**tls_figures(kernel), "file_event": file_figures(kernel)}
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
