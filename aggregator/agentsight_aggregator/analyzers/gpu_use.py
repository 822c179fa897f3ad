"""What processes ask of GPUs: sums on their spans, and counters.

Must not add up driver and runtime: the runtime calls the driver, so one act shows in both.
"""

from __future__ import annotations

from agentsight_core.pb import events_pb2 as events

from agentsight_aggregator.analyzers.findings import Attributes
from agentsight_aggregator.analyzers.state import ProcessState

_SUMS = (
    "launches",
    "copies",
    "copied_bytes",
    "allocations",
    "allocated_bytes",
    "frees",
    "synchronisations",
    "synchronised_ns",
)


def take_gpu_used(process: ProcessState, item: events.Event) -> dict[str, int]:
    """Add to the sums of `process`; return by how much the ones that count have grown."""
    used = item.gpu_used
    grown = {}
    for name in _SUMS:
        amount = getattr(used, name)
        driver, runtime = process.gpu.get(name, (0, 0))
        after = (driver, runtime + amount) if used.runtime else (driver + amount, runtime)
        if amount:
            process.gpu[name] = after
            grown[name] = max(after) - max(driver, runtime)
    return {name: amount for name, amount in grown.items() if amount}


def gpu_attributes(process: ProcessState) -> Attributes:
    """Return the sums: of the driver or of the runtime, whichever saw more."""
    return {f"agentsight.gpu.{name}": max(process.gpu[name]) for name in sorted(process.gpu)}
