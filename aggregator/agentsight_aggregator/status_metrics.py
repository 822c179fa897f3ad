"""What an aggregator says about itself in its note, as metrics: exporters, group, partitions.

Must not keep anything: a scrape shows what the note would say now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from agentsight_core.pb.api_pb2 import CoordinationStatus, ExportStatus, MemberStatus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class StatusCollector(Collector):
    """Shows the note of an aggregator."""

    def __init__(self, describe: Callable[[], MemberStatus]) -> None:
        self._describe = describe

    def describe(self) -> list[Metric]:
        """Return nothing: the note cannot be made before the service is."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the moment."""
        note = self._describe()
        yield GaugeMetricFamily(
            "agentsight_partitions_owned",
            "Partitions that this process owns.",
            value=len(note.partitions),
        )
        yield from _exports(note.exports)
        if note.HasField("coordination"):
            yield from _coordination(note.coordination)


def _exports(exports: Iterable[ExportStatus]) -> Iterator[Metric]:
    behind = GaugeMetricFamily(
        "agentsight_export_behind",
        "Findings of the owned partitions that the sink does not have yet.",
        labels=("exporter",),
    )
    retries = CounterMetricFamily(
        "agentsight_export_retries",
        "Attempts that the sink was not ready for.",
        labels=("exporter",),
    )
    for export in exports:
        behind.add_metric((export.exporter,), export.behind)
        retries.add_metric((export.exporter,), export.retries)
    yield from (behind, retries)


def _coordination(status: CoordinationStatus) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "agentsight_coordination_is_leader",
        "Whether this process assigns the partitions.",
        value=status.is_leader,
    )
    yield GaugeMetricFamily(
        "agentsight_coordination_lease_left_seconds",
        "How long this process owns partitions without hearing from etcd; 0: it is no member.",
        value=status.lease_left_ms / 1000,
    )
    yield CounterMetricFamily(
        "agentsight_coordination_assignments",
        "Partitions that this process got, each with a new fence.",
        value=status.assignments,
    )
    yield CounterMetricFamily(
        "agentsight_coordination_takeovers",
        "Partitions that this process got from a member that was gone.",
        value=status.takeovers,
    )
    yield CounterMetricFamily(
        "agentsight_coordination_etcd_errors",
        "Requests that etcd did not answer as hoped, and leases that were lost.",
        value=status.etcd_errors,
    )
