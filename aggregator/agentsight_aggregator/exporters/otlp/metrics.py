"""Business metrics to OTLP: cumulative sums and histograms of the owned partitions.

Must not remember values: they are the partition's state, and its next owner goes on with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1 import common_pb2 as otlp_common
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from agentsight_aggregator.exporters.otlp.spans import SCOPE_NAME
from agentsight_aggregator.samples import Counter, Histogram, Labels, Sample

# Partition → Unix ns at which its owner took it over: the start of this writer's series.
StartTimes = Callable[[int], int]


def metrics_request(
    samples: Iterable[tuple[int, Sample]],
    *,
    now_ns: int,
    start_ns: StartTimes,
    resource: Mapping[str, str],
) -> bytes:
    """Return a serialized ExportMetricsServiceRequest with all `samples` at `now_ns` (Unix ns).

    Metrics are sorted by name; every point has the attribute `partition` (int). `resource` names
    the writer (service.name, service.instance.id).
    """
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(_text(key, resource[key]) for key in sorted(resource))
    scope = group.scope_metrics.add()
    scope.scope.name = SCOPE_NAME
    rows: dict[str, list[tuple[int, Sample]]] = {}
    for partition, sample in samples:
        rows.setdefault(sample.name, []).append((partition, sample))
    for name in sorted(rows):
        scope.metrics.append(_metric(rows[name], now_ns, start_ns))
    return request.SerializeToString(deterministic=True)


def _metric(rows: list[tuple[int, Sample]], now_ns: int, start_ns: StartTimes) -> otlp.Metric:
    first = rows[0][1]
    metric = otlp.Metric(name=first.name, unit=first.unit, description=first.description)
    cumulative = otlp.AGGREGATION_TEMPORALITY_CUMULATIVE
    for partition, sample in rows:
        if type(sample) is not type(first):
            raise ValueError(f"{first.name} is both a counter and a histogram")
        if isinstance(sample, Counter):
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = cumulative
            metric.sum.data_points.append(_number(partition, sample, now_ns, start_ns))
        else:
            metric.histogram.aggregation_temporality = cumulative
            metric.histogram.data_points.append(_distribution(partition, sample, now_ns, start_ns))
    return metric


def _number(
    partition: int, counter: Counter, now_ns: int, start_ns: StartTimes
) -> otlp.NumberDataPoint:
    return otlp.NumberDataPoint(
        attributes=_attributes(partition, counter.labels),
        start_time_unix_nano=start_ns(partition),
        time_unix_nano=now_ns,
        as_double=counter.value,
    )


def _distribution(
    partition: int, histogram: Histogram, now_ns: int, start_ns: StartTimes
) -> otlp.HistogramDataPoint:
    return otlp.HistogramDataPoint(
        attributes=_attributes(partition, histogram.labels),
        start_time_unix_nano=start_ns(partition),
        time_unix_nano=now_ns,
        count=sum(histogram.counts),
        sum=histogram.sum,
        bucket_counts=histogram.counts,
        explicit_bounds=histogram.bounds,
    )


def _attributes(partition: int, labels: Labels) -> list[otlp_common.KeyValue]:
    number = otlp_common.AnyValue(int_value=partition)
    return [
        *(_text(key, value) for key, value in labels),
        otlp_common.KeyValue(key="partition", value=number),
    ]


def _text(key: str, value: str) -> otlp_common.KeyValue:
    return otlp_common.KeyValue(key=key, value=otlp_common.AnyValue(string_value=value))
