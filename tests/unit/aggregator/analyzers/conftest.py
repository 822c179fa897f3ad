"""Folds a log and gives its findings in a form that tests can read."""

from collections.abc import Callable, Iterable

import pytest
from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_aggregator.fold import PartitionFold, build_fold, findings_of
from agentsight_core.pb import events_pb2, findings_pb2
from agentsight_core.testing.agent_log import AgentLog


class Span:
    """A span with plain attributes and its place in the tree."""

    def __init__(self, span: findings_pb2.Span) -> None:
        self.raw = span
        self.name = span.name
        self.attributes = plain(span.attributes)
        self.events = [(event.name, plain(event.attributes)) for event in span.events]
        self.parent: Span | None = None

    def path(self) -> str:
        """Names from the root to this span."""
        return f"{self.parent.path()} > {self.name}" if self.parent else self.name


class Result:
    """Everything that a fold found."""

    def __init__(self, fold: PartitionFold, findings: Iterable[findings_pb2.Finding]) -> None:
        self.findings = list(findings)
        self.fold = fold
        self.spans = [Span(item.span) for item in self.bodies("span")]
        by_id = {span.raw.span_id: span for span in self.spans}
        assert len(by_id) == len(self.spans), "a span was written twice"
        for span in self.spans:
            if span.raw.parent_span_id:
                span.parent = by_id[span.raw.parent_span_id]
                assert span.parent.raw.trace_id == span.raw.trace_id
        self.edges = [
            (
                by_id[item.edge.cause_span_id].name,
                by_id[item.edge.effect_span_id].name,
                item.edge.method,
                item.edge.confidence,
            )
            for item in self.bodies("edge")
        ]
        self.summaries = [item.session_summary for item in self.bodies("session_summary")]
        self.samples = list(fold.samples())

    def bodies(self, kind: str) -> list[findings_pb2.Finding]:
        """The findings of one kind."""
        return [item for item in self.findings if item.WhichOneof("body") == kind]

    def paths(self) -> list[str]:
        """The path of each span, sorted."""
        return sorted(span.path() for span in self.spans)

    def named(self, name: str) -> list[Span]:
        """The spans called `name`, by start."""
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.raw.start_ns)

    def total(self, name: str, **labels: str) -> float:
        """The sum of the counter `name` over series with `labels`."""
        wanted = set(labels.items())
        return sum(
            item.value for item in self.samples if item.name == name and wanted <= set(item.labels)
        )


def plain(attributes: Iterable[findings_pb2.Attribute]) -> dict[str, object]:
    """Attributes as a dict of Python values; they must be sorted and unique."""
    keys = [item.key for item in attributes]
    assert keys == sorted(set(keys))
    values = {}
    for item in attributes:
        kind = item.WhichOneof("value")
        value = getattr(item, kind)
        values[item.key] = list(value.values) if kind == "strings_value" else value
    return values


@pytest.fixture
def run() -> Callable[..., Result]:
    """Return a function that folds a log (or events) to its end."""

    def fold_all(
        log: AgentLog | list[events_pb2.Event], settings: FoldSettings | None = None
    ) -> Result:
        fold = build_fold(settings or FoldSettings())
        events = log.events if isinstance(log, AgentLog) else log
        return Result(fold, findings_of(fold, events))

    return fold_all
