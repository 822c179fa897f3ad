import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from agentsight_core.telemetry.http import TelemetryServer, TelemetrySettings
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.links import Link
from agentsight_core.telemetry.process import process_registry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

SETTINGS = TelemetrySettings(request_timeout_s=0.3, max_connections=2, max_head_bytes=2048)


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    stage = ledger.stage("drain", "records")
    stage.received, stage.emitted, stage.held = 10, 6, 1
    stage.drop("ring_full", 2)
    stage.filter("unwatched", 1)
    return ledger


@pytest.fixture
def missing() -> list[str]:
    return []


@pytest.fixture
async def server(ledger: Ledger, missing: list[str]) -> AsyncIterator[TelemetryServer]:
    links = [Link(("drain",), ("parser",))]
    registry = process_registry(ledger, "agent")
    async with TelemetryServer(
        registry, ledger, links=links, not_ready=lambda: missing, settings=SETTINGS
    ) as server:
        yield server


async def talk(server: TelemetryServer, sent: bytes) -> tuple[int, dict[str, str], str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    received = await reader.read()
    writer.close()
    head, _, body = received.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return int(status.split()[1]), headers, body


async def get(server: TelemetryServer, path: str, *headers: str) -> tuple[int, dict[str, str], str]:
    head = "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers])
    return await talk(server, f"{head}\r\n\r\n".encode())


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text;version=1.0.0"])
async def test_metrics_show_the_ledger_in_the_format_that_is_asked_for(
    server: TelemetryServer, accept: str
) -> None:
    status, headers, body = await get(server, "/metrics?x=1", f"Accept: {accept}")

    parse = openmetrics if "openmetrics" in accept else plain_text
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(body)
        for sample in family.samples
    }
    drain = (("stage", "drain"), ("unit", "records"))
    assert status == 200
    assert headers["content-type"].startswith(accept.partition(";")[0])
    assert samples["agentsight_events_lost_total", ("reason", "ring_full"), drain[0]] == 2
    assert samples["agentsight_events_filtered_total", ("reason", "unwatched"), drain[0]] == 1
    assert samples["agentsight_stage_received_total", *drain] == 10
    assert samples["agentsight_stage_emitted_total", *drain] == 6
    assert samples["agentsight_stage_held", *drain] == 1
    assert samples["agentsight_stage_unexplained", *drain] == 0
    assert samples["process_resident_memory_bytes",] > 1_000_000
    assert 'agentsight_build_info{component="agent"' in body


async def test_ledger_is_json_with_stages_and_links(
    server: TelemetryServer, ledger: Ledger
) -> None:
    status, headers, body = await get(server, "/ledger")

    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {
        "stages": ledger.as_dict(),
        "links": [{"sources": ["drain"], "targets": ["parser"]}],
    }


async def test_readiness_says_what_is_missing_and_health_stays(
    server: TelemetryServer, missing: list[str]
) -> None:
    missing.append("the bus")

    assert (await get(server, "/healthz"))[::2] == (200, "ok\n")
    status, _, body = await get(server, "/readyz")
    assert (status, body) == (503, "waiting for the bus\n")
    missing.clear()
    status, _, body = await get(server, "/readyz")
    assert (status, body) == (200, "ready\n")


async def test_wrong_paths_and_methods_are_told_what_is_allowed(server: TelemetryServer) -> None:
    status, _, body = await get(server, "/")
    assert status == 404
    assert "/metrics" in body
    sent = b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    status, headers, _ = await talk(server, sent)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_head_has_the_length_but_no_body(server: TelemetryServer) -> None:
    status, headers, body = await talk(server, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (status, headers["content-length"], body) == (200, "3", "")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 4000, 431),
    ],
)
async def test_garbage_is_refused_and_counted(
    server: TelemetryServer, sent: bytes, status: int
) -> None:
    assert (await talk(server, sent))[0] == status
    assert server.refused == {"malformed": 1}
    status, _, body = await get(server, "/metrics")
    assert status == 200
    assert 'agentsight_telemetry_refused_total{reason="malformed"} 1.0' in body


async def test_a_client_that_sends_slowly_is_cut_off_and_counted(server: TelemetryServer) -> None:
    assert await closed_without_answer(server, b"GET /met")
    assert server.refused == {"timeout": 1}


async def test_too_many_clients_are_turned_away_at_once(server: TelemetryServer) -> None:
    waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]

    assert await closed_without_answer(server, b"GET /healthz HTTP/1.1\r\n")
    assert server.refused == {"too_many": 1}

    for _, writer in waiting:
        writer.close()


async def closed_without_answer(server: TelemetryServer, sent: bytes) -> bool:
    """Return whether the server ends the connection, by reset or end of stream, with no byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    try:
        received = await reader.read()
    except ConnectionResetError:
        received = b""
    writer.close()
    return received == b""
