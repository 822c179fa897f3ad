"""A real Prometheus scrapes us and answers questions about what it found."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agentsight_aggregator.exporters.prometheus import PartitionCollector
from agentsight_aggregator.samples import Counter, Histogram, Sample
from agentsight_core.telemetry.http import TelemetryServer
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.process import process_registry
from agentsight_core.testing.prometheus import Prometheus, running_prometheus

pytestmark = pytest.mark.server

TOKENS = Counter(
    name="gen_ai.client.inference.usage.input_tokens",
    unit="{token}",
    description="Input tokens.",
    labels=(("gen_ai.request.model", "small"),),
    value=1200,
)
DURATION = Histogram(
    name="gen_ai.client.inference.duration",
    unit="s",
    description="How long a call took.",
    labels=(("gen_ai.request.model", "small"),),
    bounds=(0.5, 1.0, 2.0),
    counts=(0, 10, 0, 0),
    sum=7.5,
)


@pytest.fixture
def owned() -> dict[int, list[Sample]]:
    return {0: [TOKENS, DURATION], 3: [TOKENS]}


@pytest.fixture
async def prometheus(tmp_path: Path, owned: dict[int, list[Sample]]) -> AsyncIterator[Prometheus]:
    ledger = Ledger()
    ledger.stage("drain", "records").drop("ring_full", 7)
    registry = process_registry(ledger, "up")
    registry.register(
        PartitionCollector(lambda: [(p, sample) for p, rows in owned.items() for sample in rows])
    )
    async with TelemetryServer(registry, ledger) as server:
        job = {
            "job_name": "agentsight",
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}],
        }
        async with running_prometheus(tmp_path, job, "200ms") as client:
            yield client


async def test_prometheus_scrapes_metrics_and_forgets_a_partition_that_moved_away(
    prometheus: Prometheus, owned: dict[int, list[Sample]]
) -> None:
    tokens = 'gen_ai_client_inference_usage_input_tokens_total{gen_ai_request_model="small"}'
    quantile = "histogram_quantile(0.5, gen_ai_client_inference_duration_seconds_bucket)"

    await prometheus.wait_for(tokens, {"0": 1200, "3": 1200})
    await prometheus.wait_for(f"sum({tokens})", {"": 2400})
    await prometheus.wait_for(quantile, {"0": 0.75})
    await prometheus.wait_for('agentsight_events_lost_total{reason="ring_full"}', {"": 7})

    del owned[3]

    await prometheus.wait_for(f"sum({tokens})", {"": 1200})
