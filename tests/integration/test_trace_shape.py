"""What a real OTLP receiver gets of a session: the shape that docs/jaeger.md promises."""

import pytest
from agentsight_aggregator.exporters.otlp.exporter import OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.transport import OtlpSettings
from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.testing.agent_session import AGENT, CALLS, MODEL, traced_session
from agentsight_core.testing.otlp_receiver import Received, grpc_receiver
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = pytest.mark.server
CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
)


async def exported() -> Received:
    findings = list(findings_of(build_fold(), traced_session().events))
    async with (
        grpc_receiver() as received,
        GrpcTransport(OtlpSettings(endpoint=f"http://127.0.0.1:{received.port}")) as transport,
    ):
        await OtlpTraceExporter(transport, Stage("sink", "spans")).export(findings)
    return received


def tags(span) -> dict:
    return {item.key: item.value for item in span.attributes}


async def test_the_service_is_the_agent_and_there_are_few_operations() -> None:
    received = await exported()
    (request,) = map(ExportTraceServiceRequest.FromString, received.traces)
    (group,) = request.resource_spans
    resource = {item.key: item.value.string_value for item in group.resource.attributes}
    assert resource["service.name"] == AGENT
    names = [span.name for span in received.spans()]
    assert set(names) == {
        f"invoke_agent {AGENT}",
        f"chat {MODEL}",
        "execute_tool bash",
        "execute_tool Task",
        "pytest",
        "python3",
        f"session {AGENT}",
    }
    assert names.count(f"chat {MODEL}") == CALLS


async def test_turns_are_linked_and_a_subagent_is_in_the_trace_of_its_caller() -> None:
    spans = {span.span_id: span for span in (await exported()).spans()}
    turns = sorted(
        (span for span in spans.values() if span.name == f"invoke_agent {AGENT}"),
        key=lambda span: span.start_time_unix_nano,
    )
    first, subagent, second = turns
    assert spans[subagent.parent_span_id].name == "execute_tool Task"
    assert subagent.trace_id == first.trace_id
    (link,) = second.links
    assert (link.trace_id, link.span_id) == (first.trace_id, first.span_id)
    # What a link of a call or a tool goes to was sent too.
    assert all(link.span_id in spans for span in spans.values() for link in span.links)


async def test_content_is_cut_and_says_what_it_was() -> None:
    spans = (await exported()).spans()
    for span in spans:
        for key in CONTENT:
            value = tags(span).get(key)
            assert value is None or len(value.string_value.encode()) <= 8192
    cut = [
        tags(span) for span in spans if "agentsight.cut.gen_ai.input.messages.hash" in tags(span)
    ]
    assert cut
    for found in cut:
        assert len(found["gen_ai.input.messages"].string_value.encode()) <= 8192
        assert found["agentsight.cut.gen_ai.input.messages.bytes"].int_value > 24_000


async def test_what_is_sent_again_is_the_same_bytes() -> None:
    assert (await exported()).traces == (await exported()).traces
