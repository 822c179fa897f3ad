from collections.abc import Sequence

import pytest
from agentsight_aggregator.exporters.otlp.exporter import OtlpMetricsExporter, OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.metrics import metrics_request
from agentsight_aggregator.exporters.otlp.spans import trace_requests
from agentsight_aggregator.exporters.otlp.transport import OtlpSettings, Signal
from agentsight_aggregator.samples import Counter, Histogram
from agentsight_core.errors import ConfigError, Permanent, Retryable
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.telemetry.ledger import Stage
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp


def a_span(number: int, agent: str = "demo", name: str = "chat") -> pb.Finding:
    return pb.Finding(
        span=pb.Span(
            span_id=number.to_bytes(8, "big"),
            name=name,
            resource=[pb.Attribute(key="service.name", string_value=agent)],
        )
    )


def decoded(findings: Sequence[pb.Finding], **named: int) -> list[ExportTraceServiceRequest]:
    return [
        ExportTraceServiceRequest.FromString(data) for data, _ in trace_requests(findings, **named)
    ]


def test_a_span_keeps_everything_it_has() -> None:
    finding = pb.Finding(
        span=pb.Span(
            trace_id=b"t" * 16,
            span_id=b"s" * 8,
            parent_span_id=b"p" * 8,
            name="execute_tool Bash",
            kind=pb.SPAN_KIND_INTERNAL,
            start_ns=5,
            end_ns=9,
            status=pb.SPAN_STATUS_ERROR,
            status_message="exit 1",
            attributes=[
                pb.Attribute(key="a", string_value="x"),
                pb.Attribute(key="b", int_value=-1),
                pb.Attribute(key="c", double_value=0.5),
                pb.Attribute(key="d", bool_value=False),
                pb.Attribute(key="e", strings_value=pb.StringList(values=["1", "2"])),
            ],
            events=[
                pb.SpanEvent(
                    time_ns=7, name="file", attributes=[pb.Attribute(key="n", int_value=0)]
                )
            ],
            links=[
                pb.SpanLink(
                    trace_id=b"u" * 16,
                    span_id=b"v" * 8,
                    attributes=[pb.Attribute(key="k", string_value="requested")],
                )
            ],
        )
    )

    (request,) = decoded([finding])

    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert request.resource_spans[0].scope_spans[0].scope.name == "agentsight"
    assert (span.trace_id, span.span_id, span.parent_span_id) == (b"t" * 16, b"s" * 8, b"p" * 8)
    assert (span.name, span.kind) == ("execute_tool Bash", otlp.Span.SPAN_KIND_INTERNAL)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (5, 9)
    assert (span.status.code, span.status.message) == (otlp.Status.STATUS_CODE_ERROR, "exit 1")
    values = {item.key: item.value for item in span.attributes}
    assert values["a"].string_value == "x"
    assert values["b"].int_value == -1
    assert values["c"].double_value == 0.5
    assert values["d"].WhichOneof("value") == "bool_value"
    assert [value.string_value for value in values["e"].array_value.values] == ["1", "2"]
    (event,) = span.events
    assert (event.time_unix_nano, event.name) == (7, "file")
    assert event.attributes[0].value.WhichOneof("value") == "int_value"
    (link,) = span.links
    assert (link.trace_id, link.span_id) == (b"u" * 16, b"v" * 8)
    assert link.attributes[0].value.string_value == "requested"


def test_spans_are_grouped_by_resource_and_resources_are_sorted() -> None:
    findings = [a_span(1, "zebra"), a_span(2, "ant"), a_span(3, "zebra")]

    (request,) = decoded(findings)

    groups = [
        (
            group.resource.attributes[0].value.string_value,
            [span.span_id[-1] for span in group.scope_spans[0].spans],
        )
        for group in request.resource_spans
    ]
    assert groups == [("ant", [2]), ("zebra", [1, 3])]


@given(
    sizes=st.lists(st.integers(0, 400), max_size=30),
    agents=st.lists(st.sampled_from(["a", "b" * 50, "c"]), min_size=30, max_size=30),
    max_bytes=st.integers(100, 2000),
)
def test_requests_stay_within_their_size_and_lose_no_span(
    sizes: list[int], agents: list[str], max_bytes: int
) -> None:
    findings = [
        a_span(number, agent, name="x" * size)
        for number, (size, agent) in enumerate(zip(sizes, agents, strict=False))
    ]

    requests = list(trace_requests(findings, max_bytes=max_bytes))

    assert sum(count for _, count in requests) == len(findings)
    assert all(len(data) <= max_bytes or count == 1 for data, count in requests)
    sent = [
        span.span_id
        for data, _ in requests
        for group in ExportTraceServiceRequest.FromString(data).resource_spans
        for span in group.scope_spans[0].spans
    ]
    assert sorted(sent) == sorted(finding.span.span_id for finding in findings)


class ScriptedTransport:
    """Answers requests in order with bytes or an exception."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self._answers = list(answers)
        self.sent: list[tuple[Signal, bytes]] = []

    async def send(self, signal: Signal, request: bytes) -> bytes:
        self.sent.append((signal, request))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


BATCH = [a_span(number) for number in range(3)]


def exporter(transport: ScriptedTransport, stage: Stage) -> OtlpTraceExporter:
    # So small that every span is its own request.
    return OtlpTraceExporter(transport, stage, max_request_bytes=1)


async def test_one_refused_request_does_not_keep_the_others_back() -> None:
    transport = ScriptedTransport(b"", Permanent("too odd"), b"")
    stage = Stage("sink", "spans")

    with pytest.raises(Permanent, match="1 spans refused: too odd"):
        await exporter(transport, stage).export(BATCH)

    assert len(transport.sent) == 3
    assert (stage.received, stage.emitted, stage.dropped) == (3, 2, {"refused_by_receiver": 1})


async def test_a_retryable_failure_wins_so_that_the_whole_batch_comes_again() -> None:
    transport = ScriptedTransport(Permanent("too odd"), Retryable("busy"))
    stage = Stage("sink", "spans")

    with pytest.raises(Retryable, match="busy"):
        await exporter(transport, stage).export(BATCH)

    assert stage == Stage("sink", "spans")


async def test_an_answer_that_is_not_otlp_is_not_taken_for_success() -> None:
    stage = Stage("sink", "spans")

    with pytest.raises(Permanent, match="no ExportTraceServiceResponse"):
        await exporter(ScriptedTransport(b"<html>", b"", b""), stage).export(BATCH)

    assert stage.dropped == {"refused_by_receiver": 1}


CALLS = Counter(
    name="agentsight.llm.calls", unit="{call}", description="Calls.", labels=(("k", "v"),), value=3
)
DURATION = Histogram(
    name="gen_ai.client.inference.duration",
    unit="s",
    description="Duration.",
    labels=(),
    bounds=(0.5, 1.0),
    counts=(2, 0, 3),
    sum=12.5,
)
START_NS = {3: 100, 4: 200}


def test_metrics_are_cumulative_and_carry_their_partition_and_its_start() -> None:
    samples = [(4, CALLS), (3, DURATION), (3, CALLS)]
    request = ExportMetricsServiceRequest.FromString(
        metrics_request(
            samples, now_ns=900, start_ns=START_NS.__getitem__, resource={"service.name": "s"}
        )
    )

    calls, duration = request.resource_metrics[0].scope_metrics[0].metrics
    assert (calls.name, calls.unit, calls.sum.is_monotonic) == (CALLS.name, "{call}", True)
    assert calls.sum.aggregation_temporality == 2
    points = [
        (
            {item.key: item.value for item in point.attributes}["partition"].int_value,
            point.start_time_unix_nano,
            point.time_unix_nano,
            point.as_double,
        )
        for point in calls.sum.data_points
    ]
    assert points == [(4, 200, 900, 3.0), (3, 100, 900, 3.0)]
    (point,) = duration.histogram.data_points
    assert duration.histogram.aggregation_temporality == 2
    assert (point.count, point.sum) == (5, 12.5)
    assert list(point.bucket_counts) == [2, 0, 3]
    assert list(point.explicit_bounds) == [0.5, 1.0]


async def test_a_failed_push_is_made_up_by_the_next_one() -> None:
    stage = Stage("sink.metrics", "points")
    transport = ScriptedTransport(Retryable("away"), b"")
    metrics = OtlpMetricsExporter(
        transport, lambda: [(3, CALLS)], stage, start_ns=START_NS.__getitem__, resource={}
    )

    with pytest.raises(Retryable):
        await metrics.push(1)
    assert stage.received == 0
    await metrics.push(2)

    assert (stage.received, stage.emitted) == (1, 1)
    assert [signal for signal, _ in transport.sent] == [Signal.METRICS, Signal.METRICS]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"endpoint": "localhost:4317"}, "allowed are http://HOST:PORT"),
        ({"endpoint": "ftp://host"}, "allowed are http://HOST:PORT"),
        ({"endpoint": "http://host:99999"}, "Port out of range"),
        ({"endpoint": "http://host/base"}, "gRPC has no path"),
        ({"endpoint": "http://host", "headers": {"a b": "c"}}, "header name 'a b'"),
        ({"endpoint": "http://host", "headers": {"a": "c\r\nd: e"}}, "printable ASCII"),
        ({"endpoint": "https://host", "key_file": "k.pem"}, "needed together"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_what_is_allowed(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        OtlpSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://host", "http://host:4318/v1/traces"),
        ("https://host:9/base/", "https://host:9/base/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_http_urls_end_in_the_path_of_the_signal(endpoint: str, url: str) -> None:
    assert OtlpSettings(endpoint=endpoint, protocol="http").url(Signal.TRACES) == url
