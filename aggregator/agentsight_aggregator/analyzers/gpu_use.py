"""What processes ask of GPUs and what they have of them: on their spans, and as counters.

Must not add up driver and runtime: the runtime calls the driver, so one act shows in both.
"""

from __future__ import annotations

from agentsight_core.pb import events_pb2 as events

from agentsight_aggregator.analyzers.findings import Attributes
from agentsight_aggregator.analyzers.state import GpuShares, ProcessState

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


def take_gpu_sampled(process: ProcessState, item: events.Event) -> int:
    """Add a sample to those of `process`; return the ns for which it has kept GPUs busy."""
    shares = process.gpu_shares = process.gpu_shares or GpuShares()
    busy_ns = memory_bytes = 0
    for share in item.gpu_sampled.shares:
        shares.devices[share.device_uuid] = share.device_name
        memory_bytes += share.memory_bytes
        if share.HasField("utilisation_percent"):
            shares.samples += 1
            shares.utilisation_sum += share.utilisation_percent
            shares.peak_utilisation = max(shares.peak_utilisation, share.utilisation_percent)
            busy_ns += item.gpu_sampled.interval_ns * share.utilisation_percent // 100
        if share.HasField("device_utilisation_percent"):
            shares.device_samples += 1
            shares.device_utilisation_sum += share.device_utilisation_percent
    shares.peak_memory_bytes = max(shares.peak_memory_bytes, memory_bytes)
    return busy_ns


def gpu_attributes(process: ProcessState) -> Attributes:
    """Return the sums, of the driver or of the runtime, whichever saw more; and the shares."""
    attributes: Attributes = {
        f"agentsight.gpu.{name}": max(process.gpu[name]) for name in sorted(process.gpu)
    }
    shares = process.gpu_shares
    if shares is None:
        return attributes
    uuids = sorted(shares.devices)
    attributes["agentsight.gpu.device_uuids"] = tuple(uuids)
    attributes["agentsight.gpu.device_names"] = tuple(shares.devices[uuid] for uuid in uuids)
    if shares.peak_memory_bytes:
        attributes["agentsight.gpu.peak_memory_bytes"] = shares.peak_memory_bytes
    if shares.samples:
        attributes["agentsight.gpu.mean_utilisation"] = _mean(
            shares.utilisation_sum, shares.samples
        )
        attributes["agentsight.gpu.peak_utilisation"] = shares.peak_utilisation / 100
    if shares.device_samples:
        attributes["agentsight.gpu.device_mean_utilisation"] = _mean(
            shares.device_utilisation_sum, shares.device_samples
        )
    return attributes


def _mean(percents: int, count: int) -> float:
    """Return the mean as a share of 1."""
    return round(percents / count / 100, 4)
