"""The metrics of one process: its ledger, its resources, its version.

Must not count anything itself: it shows what the ledger counts. Business metrics (tokens, cost) are
not here, they belong to a partition and not to a process.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from agentsight_core.telemetry.ledger import Ledger

_DISTRIBUTION = "agentsight-cluster"


class LedgerCollector(Collector):
    """Shows every stage of a ledger at the moment of the scrape."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> list[Metric]:
        """Return nothing: stages may be declared after registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the counts, one series a stage (and reason)."""
        lost = CounterMetricFamily(
            "agentsight_events_lost",
            "Items that a stage lost, by reason; the stage's unit is in agentsight_stage_received.",
            labels=("stage", "reason"),
        )
        filtered = CounterMetricFamily(
            "agentsight_events_filtered",
            "Items that ended at a stage because the configuration says so, by reason.",
            labels=("stage", "reason"),
        )
        for stage in self._ledger.stages:
            for reason, count in sorted(stage.dropped.items()):
                lost.add_metric((stage.name, reason), count)
            for reason, count in sorted(stage.filtered.items()):
                filtered.add_metric((stage.name, reason), count)
        yield lost
        yield filtered
        yield from self._flow()

    def _flow(self) -> Iterator[Metric]:
        labels = ("stage", "unit")
        received = CounterMetricFamily(
            "agentsight_stage_received", "Items that came into a stage.", labels=labels
        )
        emitted = CounterMetricFamily(
            "agentsight_stage_emitted", "Items that a stage gave on.", labels=labels
        )
        held = GaugeMetricFamily(
            "agentsight_stage_held", "Items that a stage has and has not given on.", labels=labels
        )
        unexplained = GaugeMetricFamily(
            "agentsight_stage_unexplained",
            "Items that came into a stage and are in no other count; anything but 0 is a bug.",
            labels=labels,
        )
        for stage in self._ledger.stages:
            key = (stage.name, stage.unit)
            received.add_metric(key, stage.received)
            emitted.add_metric(key, stage.emitted)
            held.add_metric(key, stage.held)
            unexplained.add_metric(key, stage.unexplained)
        yield from (received, emitted, held, unexplained)


class _BuildCollector(Collector):
    """Shows which component of which version this is."""

    def __init__(self, component: str) -> None:
        self._labels = {"component": component, "version": version(_DISTRIBUTION)}

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("agentsight_build", "The running program.", value=self._labels)


def process_registry(ledger: Ledger, component: str) -> CollectorRegistry:
    """Return a registry with the metrics of this process; more collectors may be registered.

    `component` is what the process is: "agent", "aggregator", "up".
    """
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger))
    registry.register(_BuildCollector(component))
    # process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds …
    ProcessCollector(registry=registry)
    return registry
