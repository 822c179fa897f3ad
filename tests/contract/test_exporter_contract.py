"""What every exporter promises: durable on return, the same bytes for the same findings, and
Retryable told apart from Permanent."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from agentsight_aggregator.exporters.jsonl import JsonLinesExporter
from agentsight_aggregator.exporters.otlp.exporter import OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.http_transport import HttpTransport
from agentsight_aggregator.exporters.otlp.transport import OtlpProtocol, OtlpSettings
from agentsight_aggregator.exporters.rotating_file import RotatingFile
from agentsight_core.errors import Permanent, Retryable
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.ports import Exporter
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.testing.contracts import check_exporter
from agentsight_core.testing.otlp_receiver import Answer, Received, grpc_receiver, http_receiver

pytestmark = pytest.mark.server


def a_span(number: int, agent: str = "demo") -> pb.Finding:
    return pb.Finding(
        id=number.to_bytes(16, "big"),
        session=1,
        span=pb.Span(
            trace_id=bytes(15) + b"\1",
            span_id=number.to_bytes(8, "big"),
            name="chat small",
            kind=pb.SPAN_KIND_CLIENT,
            start_ns=1_760_000_000_000_000_000 + number,
            end_ns=1_760_000_001_000_000_000,
            attributes=[
                pb.Attribute(key="gen_ai.request.stream", bool_value=True),
                pb.Attribute(key="gen_ai.response.finish_reasons", strings_value={"values": ["a"]}),
                pb.Attribute(key="gen_ai.usage.input_tokens", int_value=12),
            ],
            resource=[pb.Attribute(key="service.name", string_value=agent)],
        ),
    )


AN_EDGE = pb.Finding(id=b"\2" * 16, edge=pb.Edge(method="requested", confidence=1))
BATCH = [a_span(1), AN_EDGE, a_span(2, agent="another"), a_span(3)]


@dataclass
class Case:
    exporter: Exporter
    # What has arrived, as bytes.
    delivered: Callable[[], list[bytes]]


@dataclass
class OtlpCase(Case):
    received: Received
    stage: Stage


@asynccontextmanager
async def otlp_case(protocol: OtlpProtocol) -> AsyncIterator[OtlpCase]:
    async with AsyncExitStack() as stack:
        running = grpc_receiver() if protocol == "grpc" else http_receiver()
        received = await stack.enter_async_context(running)
        settings = OtlpSettings(
            endpoint=f"http://127.0.0.1:{received.port}",
            protocol=protocol,
            headers={"X-Tenant": "blue"},
            timeout_s=5,
        )
        kind = GrpcTransport if protocol == "grpc" else HttpTransport
        transport = await stack.enter_async_context(kind(settings))
        stage = Stage("sink.otlp", "spans")
        exporter = OtlpTraceExporter(transport, stage)
        yield OtlpCase(exporter, lambda: received.traces, received, stage)


@pytest.fixture(params=["grpc", "http"])
async def otlp(request: pytest.FixtureRequest) -> AsyncIterator[OtlpCase]:
    async with otlp_case(request.param) as case:
        yield case


@pytest.fixture(params=["jsonl", "grpc", "http"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    if request.param != "jsonl":
        async with otlp_case(request.param) as case:
            yield case
        return
    path = tmp_path / "findings.jsonl"
    with RotatingFile(path) as file:
        yield Case(JsonLinesExporter(file), lambda: path.read_bytes().splitlines())


class TestEveryExporter:
    async def test_a_batch_has_arrived_when_export_returns(self, case: Case) -> None:
        await case.exporter.export(BATCH)

        delivered = b"".join(case.delivered())
        assert delivered.count(b"chat small") == 3

    async def test_the_same_findings_twice_are_the_same_bytes(self, case: Case) -> None:
        await case.exporter.export(BATCH)
        first = list(case.delivered())

        await case.exporter.export([pb.Finding.FromString(f.SerializeToString()) for f in BATCH])

        assert case.delivered()[len(first) :] == first

    async def test_the_check_for_plugins_passes(self, case: Case) -> None:
        await check_exporter(case.exporter, BATCH, lambda: list(case.delivered()))

    async def test_an_empty_batch_is_no_work(self, case: Case) -> None:
        await case.exporter.export([])

        assert case.delivered() == []


class TestOtlp:
    async def test_headers_are_sent(self, otlp: OtlpCase) -> None:
        await otlp.exporter.export(BATCH)

        assert otlp.received.headers[0]["x-tenant"] == "blue"

    async def test_findings_that_are_no_spans_are_not_sent(self, otlp: OtlpCase) -> None:
        await otlp.exporter.export([AN_EDGE])

        assert otlp.received.traces == []
        assert otlp.stage.received == 0

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(grpc.StatusCode.UNAVAILABLE, 503),
            Answer(grpc.StatusCode.DEADLINE_EXCEEDED, 504),
            Answer(grpc.StatusCode.ABORTED, 502),
            Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, 429, retry_after_s=7),
        ],
    )
    async def test_what_may_pass_is_retryable_and_not_counted_yet(
        self, otlp: OtlpCase, answer: Answer
    ) -> None:
        otlp.received.answers.append(answer)

        with pytest.raises(Retryable) as caught:
            await otlp.exporter.export(BATCH)

        assert caught.value.retry_after_s == answer.retry_after_s
        assert otlp.stage == Stage("sink.otlp", "spans")
        await otlp.exporter.export(BATCH)
        assert (otlp.stage.received, otlp.stage.emitted, otlp.stage.dropped) == (3, 3, {})

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(grpc.StatusCode.INVALID_ARGUMENT, 400, "no such tenant"),
            Answer(grpc.StatusCode.UNAUTHENTICATED, 401, "no such tenant"),
            Answer(grpc.StatusCode.RESOURCE_EXHAUSTED, 413, "no such tenant"),
            Answer(grpc.StatusCode.INTERNAL, 500, "no such tenant"),
        ],
    )
    async def test_what_cannot_succeed_is_permanent_and_counted(
        self, otlp: OtlpCase, answer: Answer
    ) -> None:
        otlp.received.answers.append(answer)

        with pytest.raises(Permanent, match=r"3 spans refused.*no such tenant"):
            await otlp.exporter.export(BATCH)

        assert (otlp.stage.received, otlp.stage.emitted) == (3, 0)
        assert otlp.stage.dropped == {"refused_by_receiver": 3}
        assert otlp.stage.unexplained == 0

    async def test_a_partial_success_is_success_and_the_rejected_are_counted(
        self, otlp: OtlpCase
    ) -> None:
        otlp.received.answers.append(Answer(rejected=2, message="too old"))

        await otlp.exporter.export(BATCH)

        assert (otlp.stage.received, otlp.stage.emitted) == (3, 1)
        assert otlp.stage.dropped == {"rejected_by_receiver": 2}
        assert otlp.stage.unexplained == 0
