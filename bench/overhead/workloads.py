"""What is done under the tracers, and how much of it."""

from __future__ import annotations

from bench.overhead.measuring import Workload

_PAUSE_US = 1000

WORKLOADS = (
    # Paper-shaped: an agent waits for its model, reads what it streams, and then does something.
    Workload(
        "LLM client streaming",
        {"work": "stream", "answers": 2, "events": 400, "pause_us": _PAUSE_US},
        paper_shaped=True,
    ),
    Workload(
        "agent reads 10,000 files",
        {"work": "read_repository", "turns": 4, "events": 350, "pause_us": _PAUSE_US},
        paper_shaped=True,
        repeats=2,
    ),
    Workload(
        "agent builds C in parallel",
        {"work": "build", "events": 250, "pause_us": _PAUSE_US},
        paper_shaped=True,
        repeats=6,
    ),
    # Nothing but what is watched: the cost of a hit.
    Workload("TLS flat-out, 200 B", {"work": "flat", "size": 200, "times": 6000}),
    # Long enough that what a connection costs once does not count.
    Workload("TLS flat-out, 1 KiB", {"work": "flat", "size": 1024, "times": 60_000}),
    Workload("TLS flat-out, 4 KiB", {"work": "flat", "size": 4096, "times": 5000}),
    Workload("TLS flat-out, 16 KiB", {"work": "flat", "size": 16384, "times": 3000}),
    Workload(
        "TLS, 8,000 events/s of 1 KiB",
        {"work": "flat", "size": 1024, "times": 8000, "per_second": 4000},
    ),
    Workload("10,000 files flat-out", {"work": "files"}),
    # Programs in no session, while there is one on the machine.
    Workload("unrelated C build", {"work": "compile"}, watched=False, repeats=10),
    Workload("unrelated TLS server", {"work": "requests", "times": 1500}, watched=False),
    Workload("idle machine", {"work": "idle", "seconds": 0.5}, watched=False),
)
