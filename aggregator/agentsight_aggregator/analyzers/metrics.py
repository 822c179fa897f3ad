"""Business counters and histograms of a partition: part of its state, exact across restarts.

Must not know exporters. Names, units, labels and buckets are those of the OTel GenAI conventions
(client-inference.md, gen-ai-token-metrics.md of semantic-conventions-genai); own ones start with
`agentsight.`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import msgspec

from agentsight_aggregator.samples import Counter, Exemplar, Histogram, Labels, Sample

_CALL_BOUNDS = tuple(0.01 * 2**step for step in range(14))
_AGENT_BOUNDS = tuple(0.1 * 2**step for step in range(13))
_MCP_BOUNDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_COUNT_BOUNDS = tuple(float(2**step) for step in range(8))

_USAGE = "gen_ai.client.inference.usage"
# name → (unit, description)
_COUNTERS = {
    f"{_USAGE}.input_tokens": ("{token}", "Tokens of the input, cached ones included."),
    f"{_USAGE}.output_tokens": ("{token}", "Tokens of the output, reasoning included."),
    f"{_USAGE}.cache_read.input_tokens": ("{token}", "Input tokens read from a cache."),
    f"{_USAGE}.cache_write.input_tokens": ("{token}", "Input tokens written to a cache."),
    f"{_USAGE}.reasoning.output_tokens": ("{token}", "Output tokens spent on reasoning."),
    "agentsight.llm.calls": ("{call}", "Logical calls of models; retries are inside one call."),
    "agentsight.llm.retries": ("{attempt}", "Attempts beyond the first of a logical call."),
    "agentsight.cost": ("{USD}", "What the calls cost by list price."),
    "agentsight.llm.unpriced_calls": ("{call}", "Calls of models without a known price."),
    "agentsight.tool.calls": ("{call}", "Tool calls that answers asked for."),
    "agentsight.tool.effects": ("{effect}", "What processes of tool calls did, by tool and kind."),
    "agentsight.tool.io": ("By", "What processes of tool calls moved, by tool and direction."),
    "agentsight.user.calls": ("{call}", "Logical calls of models, by user."),
    "agentsight.user.tokens": ("{token}", "Tokens of calls of models, by user and kind."),
    "agentsight.user.cost": ("{USD}", "What the calls cost by list price, by user."),
    "agentsight.mcp.notifications": ("{notification}", "MCP notifications, by method."),
    "agentsight.turns": ("{turn}", "User turns."),
    "agentsight.processes": ("{process}", "Processes of watched sessions."),
    "agentsight.files": ("{file}", "Files that watched processes opened or failed to open."),
    "agentsight.file.changes": ("{call}", "Calls that change names, rights or lengths of files."),
    "agentsight.connections": ("{connection}", "TCP connections of watched processes."),
    "agentsight.connection.bytes": ("By", "Payload of closed connections, by direction."),
    "agentsight.connection.segments": ("{segment}", "TCP segments sent, sent again, and lost."),
    "agentsight.signals": ("{signal}", "Signals from and to watched processes, by name."),
    "agentsight.limits_hit": ("{call}", "Calls of watched processes that ran into a limit."),
    "agentsight.capture.left_out": (
        "{item}",
        "Files, connections and streams that limits of the configuration left out, by reason.",
    ),
    "agentsight.oom_kills": ("{process}", "Watched processes killed because memory ran out."),
    "agentsight.gpu.use": ("{item}", "Calls, bytes and ns of GPUs, by the name of the sum."),
    "agentsight.sessions": ("{session}", "Sessions, by what became of them."),
    "agentsight.exchanges": ("{exchange}", "HTTP exchanges, by what they were."),
    "agentsight.lost": ("{item}", "What was seen, or should have been, and is not in the log."),
    "agentsight.ignored": ("{item}", "Input that could not be used, by reason."),
    "agentsight.evicted": ("{item}", "State given up early because a table was full."),
    "agentsight.label_overflow": ("{item}", "Values counted under `other`: too many label sets."),
}
# name → (unit, description, bounds)
_HISTOGRAMS = {
    "gen_ai.client.inference.duration": ("s", "Duration of a call.", _CALL_BOUNDS),
    "gen_ai.client.inference.time_to_first_chunk": (
        "s",
        "Time from the request to the first generated content.",
        _CALL_BOUNDS,
    ),
    "gen_ai.client.inference.time_per_output_chunk": (
        "s",
        "Time between pieces of generated content.",
        _CALL_BOUNDS,
    ),
    "gen_ai.execute_tool.duration": ("s", "Duration of a tool call.", _CALL_BOUNDS),
    "mcp.client.operation.duration": ("s", "Duration of a call of an MCP server.", _MCP_BOUNDS),
    "gen_ai.invoke_agent.duration": ("s", "Duration of a user turn.", _AGENT_BOUNDS),
    "gen_ai.invoke_agent.inference_calls": (
        "{inference_call}",
        "Calls of models in a user turn.",
        _COUNT_BOUNDS,
    ),
    "gen_ai.invoke_agent.tool_calls": ("{tool_call}", "Tool calls in a user turn.", _COUNT_BOUNDS),
}
OTHER = "other"


class Distribution(msgspec.Struct):
    """The state of one histogram series."""

    counts: list[int]
    sum: float = 0.0
    # The newest measurement with a trace, by the index of its bucket.
    exemplars: dict[int, Exemplar] = {}


class Measures(msgspec.Struct):
    """The state of all series: name → labels → value."""

    counters: dict[str, dict[Labels, float]] = {}
    histograms: dict[str, dict[Labels, Distribution]] = {}


class Meter:
    """Counts, with at most `max_label_sets` series a metric."""

    def __init__(self, max_label_sets: int) -> None:
        self._max_label_sets = max_label_sets
        self.state = Measures()

    def add(self, name: str, value: float, **labels: str) -> None:
        """Add `value` to a counter; label names are written with `__` for a dot."""
        self.add_labelled(name, value, _sorted(labels))

    def add_labelled(self, name: str, value: float, labels: Labels) -> None:
        """Add `value` to the counter `name` with sorted `labels`."""
        series = self.state.counters.setdefault(name, {})
        labels = self._bounded(name, labels, series)
        series[labels] = series.get(labels, 0.0) + value

    def record(
        self, name: str, value: float, labels: Labels, trace_id: bytes = b"", time_ns: int = 0
    ) -> None:
        """Put `value` into the histogram `name` with sorted `labels`.

        With a `trace_id` it becomes the exemplar of its bucket, at the event time `time_ns`.
        """
        bounds = _HISTOGRAMS[name][2]
        series = self.state.histograms.setdefault(name, {})
        labels = self._bounded(name, labels, series)
        found = series.get(labels)
        if found is None:
            found = series[labels] = Distribution([0] * (len(bounds) + 1))
        bucket = bisect_left(bounds, value)
        found.counts[bucket] += 1
        found.sum += value
        if trace_id:
            # As a checkpoint gives it back: 1 and 1.0 are not the same bytes.
            found.exemplars[bucket] = Exemplar(float(value), trace_id, time_ns)

    def samples(self) -> Iterator[Sample]:
        """Return every series, sorted by name and labels."""
        for name in sorted(self.state.counters):
            unit, description = _COUNTERS[name]
            for labels, value in sorted(self.state.counters[name].items()):
                yield Counter(
                    name=name, unit=unit, description=description, labels=labels, value=value
                )
        for name in sorted(self.state.histograms):
            unit, description, bounds = _HISTOGRAMS[name]
            for labels, found in sorted(
                self.state.histograms[name].items(), key=lambda item: item[0]
            ):
                yield Histogram(
                    name=name,
                    unit=unit,
                    description=description,
                    labels=labels,
                    bounds=bounds,
                    counts=tuple(found.counts),
                    sum=found.sum,
                    exemplars=found.exemplars,
                )

    def _bounded(
        self, name: str, labels: Labels, series: dict[Labels, float] | dict[Labels, Distribution]
    ) -> Labels:
        if labels in series or len(series) < self._max_label_sets:
            return labels
        overflow = self.state.counters.setdefault("agentsight.label_overflow", {})
        key = (("metric", name),)
        overflow[key] = overflow.get(key, 0.0) + 1
        return tuple((label, OTHER) for label, _ in labels)


def _sorted(labels: dict[str, str]) -> Labels:
    return tuple(sorted((name.replace("__", "."), value) for name, value in labels.items()))
