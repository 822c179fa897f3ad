"""`agentsight up` finds an agent by itself, and what it says reaches every sink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.llm_tls_server import LlmTlsServer, llm_tls_server
from agentsight_core.testing.otlp_receiver import grpc_receiver, http_receiver
from agentsight_core.testing.prometheus import Prometheus, running_prometheus
from agentsight_core.testing.running_up import RunningUp, caller, own_model, running_up
from opentelemetry.proto.trace.v1.trace_pb2 import Span

pytestmark = [pytest.mark.kernel, pytest.mark.server]

RECEIVERS = {"grpc": grpc_receiver, "http/protobuf": http_receiver}
CALLS = 5


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LlmTlsServer]:
    with llm_tls_server(tmp_path) as server:
        yield server


def attributes(span: Span) -> dict[str, object]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes
    }


def prometheus(folder: Path, target: int) -> AbstractAsyncContextManager[Prometheus]:
    """Run a Prometheus that scrapes 127.0.0.1:`target`."""
    job = {"job_name": "up", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    # A scrape that takes longer than the interval is a failed one: no value until the next.
    return running_prometheus(folder, job, "1s")


def summaries(up: RunningUp, model: str) -> list[dict[str, Any]]:
    found = [f["session_summary"] for f in up.findings() if f["kind"] == "session_summary"]
    return [summary for summary in found if model in summary["models"]]


@pytest.mark.parametrize("protocol", RECEIVERS)
async def test_an_agent_without_a_rule_reaches_every_sink(
    protocol: str, server: LlmTlsServer, tmp_path: Path
) -> None:
    model = own_model(f"claude-up-{protocol[:4]}")
    async with RECEIVERS[protocol]() as received:
        settings = {
            "EXPORTERS_OTLP_ENDPOINT": f"http://127.0.0.1:{received.port}",
            "EXPORTERS_OTLP_PROTOCOL": protocol,
            "EXPORTERS_OTLP_METRICS_INTERVAL_MS": "200",
        }
        async with running_up(tmp_path, settings) as up:
            async with (
                prometheus(tmp_path, up.telemetry_port("aggregator")) as metrics,
                caller(server, model) as program,
            ):
                for number in range(1, CALLS + 1):
                    await program.call(number)
                tokens = "gen_ai_client_inference_usage_input_tokens_total"
                query = f'sum({tokens}{{gen_ai_request_model="{model}"}})'
                await metrics.wait_for(query, {"": CALLS * 11}, 30)
            await eventually(lambda: any(s["ended"] for s in summaries(up, model)))
            assert await up.stop() == 0

    spans = [span for span in received.spans() if span.name == f"chat {model}"]
    assert [attributes(span)["gen_ai.request.max_tokens"] for span in spans] == [1, 2, 3, 4, 5]
    assert len({span.span_id for span in spans}) == CALLS
    assert {attributes(span)["gen_ai.usage.output_tokens"] for span in spans} == {7}
    assert {attributes(span)["process.pid"] for span in spans} == {program.process.pid}
    assert any(model.encode() in data for data in received.metrics)
    # The same spans, under the same ids, are in the file.
    written = [f["span"] for f in up.findings() if f["kind"] == "span"]
    assert [s["span_id"] for s in written if s["name"] == f"chat {model}"] == [
        span.span_id.hex() for span in spans
    ]
    summary = summaries(up, model)[-1]
    assert (summary["llm_calls"], summary["input_tokens"]) == (CALLS, CALLS * 11)
    assert up.losses() == {}


async def test_a_connection_that_was_not_worth_reading_is_read_after_the_promotion(
    server: LlmTlsServer, tmp_path: Path
) -> None:
    model = own_model("claude-up-chatty")
    async with running_up(tmp_path) as up, caller(server, model, chatty=True) as program:
        await program.call(1)
        await eventually(lambda: up.calls(model) == [1])
        await program.call(1001)
        await eventually(lambda: up.calls(model) == [1, 1001])
        assert await up.stop() == 0
    assert up.losses() == {}
