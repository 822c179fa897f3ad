"""Business metrics (calls, tokens, cost, durations) as plain values: part of a partition's state.

Names are OTel names; exporters turn them into the form of their protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

Labels = tuple[tuple[str, str], ...]


class Exemplar(msgspec.Struct, frozen=True):
    """One measurement of a bucket, and the trace that it is from."""

    value: float
    trace_id: bytes
    # Unix ns, of the event.
    time_ns: int


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A sum that only grows."""

    # "gen_ai.client.inference.usage.input_tokens"
    name: str
    # UCUM: "{token}", "s", "By", "{call}", "{USD}"
    unit: str
    description: str
    # Sorted by key; low cardinality: no session, pid, path or prompt.
    labels: Labels
    value: float


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution over fixed buckets."""

    name: str
    unit: str
    description: str
    labels: Labels
    # Upper bounds, ascending; `counts` has one more entry, for the values above the last bound.
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float
    # By the index of the bucket.
    exemplars: dict[int, Exemplar] = {}


Sample = Counter | Histogram

# Gives the samples of every partition that this process owns right now: (partition, sample).
SampleSource = Callable[[], Iterable[tuple[int, Sample]]]
