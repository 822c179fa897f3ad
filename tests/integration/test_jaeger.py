"""A real Jaeger v2 is given our spans and asked for them as its UI does, through /api/v3.

Nothing brings a Jaeger along: `make test-jaeger JAEGER_BIN=…` runs this, and fails without one.
"""

import asyncio
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_aggregator.exporters.otlp.exporter import OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.transport import OtlpSettings
from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.testing.agent_log import wall_ns
from agentsight_core.testing.agent_session import AGENT, CALLS, MODEL, traced_session

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(120)]

# The ports of Jaeger's default configuration, on loopback.
QUERY, OTLP = "http://127.0.0.1:16686/api", "http://127.0.0.1:4317"


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    binary = os.environ.get("JAEGER_BIN", "")
    assert Path(binary).is_file(), "JAEGER_BIN does not name a Jaeger v2; see docs/jaeger.md"
    with (tmp_path_factory.mktemp("jaeger") / "log").open("w") as log:
        process = subprocess.Popen([binary], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def fetch(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=10) as found:
        return json.load(found)


async def ask(path: str, **parameters: str) -> dict:
    """Ask until Jaeger has an answer; 404 is "nothing found", which may change."""
    url = f"{QUERY}/{path}?{urllib.parse.urlencode(parameters)}"
    while True:
        try:
            return await asyncio.to_thread(fetch, url)
        except OSError as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code not in (404, 503)
            if refused:
                raise
            await asyncio.sleep(0.2)


async def found_spans(**parameters: str) -> list[dict]:
    # Up to 2.13 parameters had the names of the .proto.
    window = {
        name: f"2027-{day}T00:00:00Z"
        for day, names in (
            ("01-01", ("query.startTimeMin", "query.start_time_min")),
            ("12-31", ("query.startTimeMax", "query.start_time_max")),
        )
        for name in names
    }
    depth = {"query.searchDepth": "20", "query.num_traces": "20"}
    service = {"query.serviceName": AGENT, "query.service_name": AGENT}
    answer = await ask("v3/traces", **window, **depth, **service, **parameters)
    return [
        span
        for group in answer["result"]["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope.get("spans", ())
    ]


async def traces_with(tags: dict[str, str]) -> int:
    """Return how many traces have a span with these tags."""
    window = {"start": str(wall_ns(0) // 1000), "end": str(wall_ns(3600) // 1000)}
    answer = await ask("traces", service=AGENT, limit="20", tags=json.dumps(tags), **window)
    return len(answer["data"])


async def test_what_was_sent_is_found_by_its_tags(jaeger: None) -> None:
    assert wall_ns(0) == 1_800_000_000 * 10**9, "the times of the log are in 2027"
    findings = list(findings_of(build_fold(), traced_session().events))
    await ask("v3/services")
    stage = Stage("sink", "spans")
    async with GrpcTransport(OtlpSettings(endpoint=OTLP)) as transport:
        # Twice: what comes again is the same bytes, and Jaeger shows it once.
        for _ in range(2):
            await OtlpTraceExporter(transport, stage).export(findings)

    services: list[str] = []
    while AGENT not in services:
        # Empty lists are left out.
        services = (await ask("v3/services")).get("services", [])
    by_session = {"session.id": "000000000000007a"}
    spans = await found_spans(**{"query.attributes": json.dumps(by_session)})
    sent = {item.span.span_id for item in findings if item.WhichOneof("body") == "span"}
    assert len(spans) == len(sent)
    assert [span["name"] for span in spans].count(f"chat {MODEL}") == CALLS
    failed = {"process.exit.code": "1", "gen_ai.tool.name": "bash"}
    with_tool = await found_spans(**{"query.attributes": json.dumps(failed)})
    (tool,) = [span for span in with_tool if span["name"] == "execute_tool bash"]
    assert tool["links"]

    # As the search of its page does, which knows tags in every version.
    assert await traces_with(by_session) == len({span["traceId"] for span in spans})
    assert await traces_with(failed) == 1
    assert await traces_with({"session.id": "another"}) == 0
