"""What an aggregator says about itself in its note, as metrics: exporters, group, partitions.

Must not keep anything: a scrape shows what the note would say now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from agentsight_core.pb.api_pb2 import CoordinationStatus, ExportStatus, MemberStatus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentsight_aggregator.worker.partition import Lag


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


class WorkCollector(Collector):
    """Shows how far the owned partitions are behind, and the writes that were refused."""

    def __init__(
        self, lags: Callable[[], Mapping[int, Lag]], fenced_writes: Callable[[], int]
    ) -> None:
        self._lags = lags
        self._fenced_writes = fenced_writes

    def collect(self) -> Iterator[Metric]:
        """Yield two series for each owned partition, and the sum of refusals."""
        seconds = GaugeMetricFamily(
            "agentsight_partition_lag_seconds",
            "Age of the last message read; the partition's clock keeps it below its interval.",
            labels=("partition",),
        )
        messages = GaugeMetricFamily(
            "agentsight_partition_lag_messages",
            "Messages of the partition's log that wait behind the last one read.",
            labels=("partition",),
        )
        now_s = time.time()
        for partition, lag in sorted(self._lags().items()):
            seconds.add_metric((str(partition),), max(0.0, now_s - lag.read_until_s))
            messages.add_metric((str(partition),), lag.messages)
        yield from (seconds, messages)
        yield CounterMetricFamily(
            "agentsight_fenced_writes",
            "Writes that were refused because another owner had written.",
            value=self._fenced_writes(),
        )


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
