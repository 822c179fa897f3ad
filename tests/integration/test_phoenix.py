"""A real Arize Phoenix is given our spans, and says through its API what it takes them for.

`make test-phoenix` installs it into an environment of its own and runs this.
"""

import asyncio
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_aggregator.exporters.otlp.exporter import OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.transport import OtlpSettings
from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.testing.agent_session import AGENT, CALLS, MODEL, traced_session
from agentsight_core.testing.ports import free_ports

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(240)]

PROGRAM = Path(__file__).parents[2] / ".setup" / "phoenix" / "bin" / "phoenix"
# Of one call of the session.
INPUT_TOKENS, OUTPUT_TOKENS = 100, 20


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Run a Phoenix with a database of its own; its ports of HTTP and OTLP over gRPC."""
    assert PROGRAM.exists(), "there is no Phoenix: run `make test-phoenix`"
    http, grpc = free_ports(2)
    settings = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(http),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_WORKING_DIR": str(tmp_path),
        # Nothing is told to its makers.
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve"], stdout=log, stderr=log, env={**os.environ, **settings}
        )
    try:
        yield http, grpc
    finally:
        process.terminate()
        process.wait(30)


def fetch(url: str) -> list[dict]:
    with urllib.request.urlopen(url, timeout=10) as found:
        return json.load(found)["data"]


async def ask(port: int, path: str, count: int) -> list[dict]:
    """Ask until there are `count` items: it begins to serve late, and answers before it writes."""
    while True:
        try:
            found = await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/v1/{path}")
        except OSError:
            found = []
        if len(found) >= count:
            return found
        await asyncio.sleep(0.2)


async def test_it_reads_calls_of_models_tools_and_turns(ports: tuple[int, int]) -> None:
    http, grpc = ports
    await ask(http, "projects", 1)
    findings = list(findings_of(build_fold(), traced_session().events))
    sent = {
        item.span.span_id.hex(): item.span.name
        for item in findings
        if item.WhichOneof("body") == "span"
    }
    endpoint = f"http://127.0.0.1:{grpc}"
    async with GrpcTransport(OtlpSettings(endpoint=endpoint)) as transport:
        await OtlpTraceExporter(transport, Stage("sink", "spans")).export(findings)

    spans = await ask(http, "projects/default/spans?limit=1000", len(sent))
    assert {span["context"]["span_id"]: span["name"] for span in spans} == sent
    kinds = {span["name"]: span["span_kind"] for span in spans}
    assert kinds[f"invoke_agent {AGENT}"] == "AGENT"
    assert kinds[f"chat {MODEL}"] == "LLM"
    assert kinds["execute_tool bash"] == kinds["execute_tool Task"] == "TOOL"

    calls = [span["attributes"] for span in spans if span["name"] == f"chat {MODEL}"]
    assert len(calls) == CALLS
    for call in calls:
        assert call["llm.model_name"] == MODEL
        assert call["llm.token_count.prompt"] == INPUT_TOKENS
        assert call["llm.token_count.completion"] == OUTPUT_TOKENS
        assert call["session.id"] == "000000000000007a"
        assert "llm.input_messages.0.message.content" in call
    (tool,) = [span["attributes"] for span in spans if span["name"] == "execute_tool bash"]
    assert tool["tool.name"] == "bash"
    assert tool["tool.parameters.command"] == "pytest -q tests"
    assert tool["output.value"] == "1 failed"
