import time

from agentsight_aggregator.status_metrics import StatusCollector, WorkCollector
from agentsight_aggregator.worker.partition import Lag
from agentsight_core.pb.api_pb2 import (
    CoordinationStatus,
    ExportStatus,
    MemberStatus,
    PartitionStatus,
)
from prometheus_client import CollectorRegistry, generate_latest


def page(note: MemberStatus) -> list[str]:
    registry = CollectorRegistry()
    registry.register(StatusCollector(lambda: note))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_exporters_and_the_group_are_shown_as_the_note_has_them() -> None:
    note = MemberStatus(
        partitions=[PartitionStatus(partition=3)],
        exports=[
            ExportStatus(exporter="otlp", behind=7, retries=2),
            ExportStatus(exporter="jsonl"),
        ],
        coordination=CoordinationStatus(is_leader=True, lease_left_ms=1500, takeovers=4),
    )
    lines = page(note)
    assert "agentsight_partitions_owned 1.0" in lines
    assert 'agentsight_export_behind{exporter="otlp"} 7.0' in lines
    assert 'agentsight_export_behind{exporter="jsonl"} 0.0' in lines
    assert 'agentsight_export_retries_total{exporter="otlp"} 2.0' in lines
    assert "agentsight_coordination_is_leader 1.0" in lines
    assert "agentsight_coordination_lease_left_seconds 1.5" in lines
    assert "agentsight_coordination_takeovers_total 4.0" in lines


def test_a_process_without_a_group_says_nothing_about_one() -> None:
    assert page(MemberStatus()) == ["agentsight_partitions_owned 0.0"]


def test_a_partition_that_is_not_read_falls_behind() -> None:
    registry = CollectorRegistry()
    lags = {3: Lag(messages=7, read_until_s=time.time() - 60)}
    registry.register(WorkCollector(lambda: lags, lambda: 2))
    values = {sample.name: sample for family in registry.collect() for sample in family.samples}
    assert values["agentsight_partition_lag_messages"].value == 7
    assert values["agentsight_partition_lag_messages"].labels == {"partition": "3"}
    assert 60 <= values["agentsight_partition_lag_seconds"].value < 120
    assert values["agentsight_fenced_writes_total"].value == 2
