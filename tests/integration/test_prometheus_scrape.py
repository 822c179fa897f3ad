"""A real Prometheus scrapes us and answers questions about what it found."""

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from agentsight_aggregator.exporters.prometheus import PartitionCollector
from agentsight_aggregator.samples import Counter, Histogram, Sample
from agentsight_core.telemetry.http import TelemetryServer
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.process import process_registry

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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/query?query="
        self._client = httpx2.AsyncClient(trust_env=False)

    async def ask(self, query: str) -> dict[str, float]:
        """Return {partition or "": value} of an instant query; {} while it does not answer."""
        try:
            answer = await self._client.get(self._url + quote(query))
        except httpx2.TransportError:
            return {}
        if answer.status_code != 200:
            return {}
        rows = json.loads(answer.content)["data"]["result"]
        return {row["metric"].get("partition", ""): float(row["value"][1]) for row in rows}

    async def wait_for(self, query: str, expected: dict[str, float]) -> None:
        """Wait until the answer is `expected`; say what it was when it does not come."""
        found: dict[str, float] = {}
        try:
            async with asyncio.timeout(40):
                # What changes is in another process, which tells nobody.
                while (found := await self.ask(query)) != expected:  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"{query} gave {found}, not {expected}")

    async def close(self) -> None:
        await self._client.aclose()


@pytest.fixture
def owned() -> dict[int, list[Sample]]:
    return {0: [TOKENS, DURATION], 3: [TOKENS]}


@pytest.fixture
async def prometheus(tmp_path: Path, owned: dict[int, list[Sample]]) -> AsyncIterator[Prometheus]:
    program = shutil.which("prometheus")
    assert program is not None, "the set-up installs Debian's prometheus"
    ledger = Ledger()
    ledger.stage("drain", "records").drop("ring_full", 7)
    registry = process_registry(ledger, "up")
    registry.register(
        PartitionCollector(lambda: [(p, sample) for p, rows in owned.items() for sample in rows])
    )
    async with TelemetryServer(registry, ledger) as server:
        config = tmp_path / "prometheus.yml"
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                    "scrape_configs": [
                        {
                            "job_name": "agentsight",
                            "honor_labels": True,
                            "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}],
                        }
                    ],
                }
            )
        )
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        )
        client = Prometheus(port)
        try:
            yield client
        finally:
            await client.close()
            process.kill()
            await process.wait()


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
