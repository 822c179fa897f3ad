"""Business metrics in Prometheus form, for the partitions that this process owns at the scrape.

Names follow the OTel specification "Prometheus and OpenMetrics Compatibility". Must not keep
anything between two scrapes: a partition that is not owned any more is gone from the next one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    HistogramMetricFamily,
    Metric,
    Timestamp,
)
from prometheus_client.registry import Collector

from agentsight_aggregator.samples import Counter, Histogram, Labels, Sample, SampleSource

# UCUM → Prometheus word. Others are used as they are; units in braces are annotations, and dropped.
_UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "%": "percent",
    # "_ratio" is for gauges only.
    "1": "",
}
_PER_UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day"}


def family_name(name: str, unit: str) -> str:
    """Return the name of the family, without `_total`, of an OTel metric with a UCUM unit."""
    family = _sanitized(name)
    word = _unit_word(unit)
    return family if not word or family.endswith(f"_{word}") else f"{family}_{word}"


def label_name(key: str) -> str:
    """Return the label of an OTel attribute key: "error.type" → "error_type"."""
    return _sanitized(key)


def _unit_word(unit: str) -> str:
    plain = re.sub(r"\{[^}]*\}", "", unit)
    above, slash, below = plain.partition("/")
    word = _UNITS.get(above, above)
    if slash and below:
        word = f"{word}_per_{_PER_UNITS.get(below, below)}"
    return _sanitized(word).strip("_") if word else ""


def _sanitized(name: str) -> str:
    """Replace what Prometheus does not allow by one underscore; none may begin with a digit."""
    clean = re.sub(r"[^a-zA-Z0-9]+", "_", name)
    return f"_{clean}" if clean[:1].isdigit() else clean


def _prometheus_labels(partition: int, labels: Labels) -> dict[str, str]:
    """Return the labels; values whose keys become the same label are joined by ";" as specified."""
    joined: dict[str, list[str]] = defaultdict(list)
    for key, value in sorted(labels):
        joined[label_name(key)].append(value)
    return {"partition": str(partition)} | {key: ";".join(parts) for key, parts in joined.items()}


class PartitionCollector(Collector):
    """Turns samples into families with the label `partition`."""

    def __init__(self, samples: SampleSource) -> None:
        self._samples = samples

    def describe(self) -> list[Metric]:
        """Return nothing: which metrics exist depends on what was seen."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield one family a metric, sorted by name.

        Raises ValueError when one name stands for a counter and a histogram.
        """
        families: dict[str, list[tuple[dict[str, str], Sample]]] = defaultdict(list)
        for partition, sample in self._samples():
            name = family_name(sample.name, sample.unit)
            families[name].append((_prometheus_labels(partition, sample.labels), sample))
        for name in sorted(families):
            yield _family(name, families[name])


def _family(name: str, rows: Sequence[tuple[dict[str, str], Sample]]) -> Metric:
    # An empty label is the same as none, so that rows of one family may have different labels.
    keys = tuple(sorted({key for labels, _ in rows for key in labels}))
    first = rows[0][1]
    about = (name, first.description)
    unit = _unit_word(first.unit)
    counters = CounterMetricFamily(*about, labels=keys, unit=unit)
    histograms = HistogramMetricFamily(*about, labels=keys, unit=unit)
    for labels, sample in rows:
        values = [labels.get(key, "") for key in keys]
        if isinstance(sample, Counter):
            counters.add_metric(values, sample.value)
        else:
            histograms.add_metric(values, _buckets(sample), sample.sum)
    if counters.samples and histograms.samples:
        raise ValueError(f"{name} is both a counter and a histogram")
    return counters if counters.samples else histograms


def _buckets(histogram: Histogram) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """Return (upper bound, cumulative count), the last one +Inf; with an exemplar if there is one.

    Only OpenMetrics shows exemplars: the older text format has none.
    """
    bounds = [*(repr(float(bound)) for bound in histogram.bounds), "+Inf"]
    rows: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    for index, (bound, count) in enumerate(zip(bounds, accumulate(histogram.counts), strict=True)):
        found = histogram.exemplars.get(index)
        if found is None:
            rows.append((bound, count))
        else:
            when = Timestamp(*divmod(found.time_ns, 1_000_000_000))
            labels = {"trace_id": found.trace_id.hex()}
            rows.append((bound, count, Exemplar(labels, found.value, when)))
    return rows
