"""How fast findings leave: JSON lines, OTLP requests, OTLP to a real receiver; what a scrape costs.

Figures are ratios to a yardstick of the same run (protobuf serialization of the same findings, a
plain write + fsync of the same bytes), so that two machines can be compared.
Run: python bench/bench_exporters.py [findings]
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from agentsight_aggregator.exporters.jsonl import JsonLinesExporter, finding_to_json
from agentsight_aggregator.exporters.otlp.exporter import OtlpTraceExporter
from agentsight_aggregator.exporters.otlp.grpc_transport import GrpcTransport
from agentsight_aggregator.exporters.otlp.http_transport import HttpTransport
from agentsight_aggregator.exporters.otlp.spans import trace_requests
from agentsight_aggregator.exporters.otlp.transport import OtlpProtocol, OtlpSettings
from agentsight_aggregator.exporters.prometheus import PartitionCollector
from agentsight_aggregator.exporters.rotating_file import RotatingFile
from agentsight_aggregator.samples import Histogram, Sample
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.testing.otlp_receiver import grpc_receiver, http_receiver
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

BATCH = 500
ROUNDS = 5


def make_findings(count: int) -> list[pb.Finding]:
    """Return chat spans as the fold makes them: 20 attributes, 4 KiB of messages."""
    return [
        pb.Finding(
            id=number.to_bytes(16, "big"),
            session=number % 50,
            span=pb.Span(
                trace_id=number.to_bytes(16, "big"),
                span_id=number.to_bytes(8, "big"),
                name="chat model",
                kind=pb.SPAN_KIND_CLIENT,
                start_ns=1_760_000_000_000_000_000 + number,
                end_ns=1_760_000_001_000_000_000 + number,
                attributes=[
                    *(
                        pb.Attribute(key=f"gen_ai.text.{i:02}", string_value="value")
                        for i in range(12)
                    ),
                    *(pb.Attribute(key=f"gen_ai.usage.{i:02}", int_value=number) for i in range(7)),
                    pb.Attribute(key="gen_ai.zzz.messages", string_value="some words " * 372),
                ],
                resource=[pb.Attribute(key="service.name", string_value=f"agent-{number % 5}")],
            ),
        )
        for number in range(1, count + 1)
    ]


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of a few rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def show(what: str, seconds: float, count: int, yardstick: float, name: str) -> None:
    print(f"{what:<34} {count / seconds:>10,.0f}/s   {seconds / yardstick:6.2f} x {name}")


def batches(findings: list[pb.Finding]) -> list[list[pb.Finding]]:
    return [findings[at : at + BATCH] for at in range(0, len(findings), BATCH)]


def bench_encoding(findings: list[pb.Finding]) -> None:
    yardstick = best(lambda: [finding.SerializeToString() for finding in findings])
    name = "protobuf serialization"
    show("protobuf serialization", yardstick, len(findings), yardstick, name)
    seconds = best(lambda: [msgspec.json.encode(finding_to_json(item)) for item in findings])
    show("JSON lines, encoding", seconds, len(findings), yardstick, name)
    seconds = best(lambda: [list(trace_requests(batch)) for batch in batches(findings)])
    show("OTLP requests, encoding", seconds, len(findings), yardstick, name)


def bench_file(findings: list[pb.Finding], directory: Path) -> None:
    parts = [
        b"".join(msgspec.json.encode(finding_to_json(item)) + b"\n" for item in batch)
        for batch in batches(findings)
    ]

    def plain() -> None:
        with (directory / "plain").open("wb") as file:
            for part in parts:
                file.write(part)
                file.flush()
                os.fsync(file.fileno())

    async def export() -> None:
        with RotatingFile(directory / "findings.jsonl") as file:
            exporter = JsonLinesExporter(file)
            for batch in batches(findings):
                await exporter.export(batch)

    yardstick = best(plain)
    show("plain write + fsync", yardstick, len(findings), yardstick, "write + fsync")
    seconds = best(lambda: asyncio.run(export()))
    show("JSON lines exporter", seconds, len(findings), yardstick, "write + fsync")


async def bench_otlp(findings: list[pb.Finding]) -> None:
    """The receiver runs in this process and on the same core: a lower bound."""
    start = time.perf_counter()
    requests = [data for batch in batches(findings) for data, _ in trace_requests(batch)]
    yardstick = time.perf_counter() - start
    size_mb = sum(map(len, requests)) / 1e6
    protocols: tuple[OtlpProtocol, ...] = ("grpc", "http")
    for protocol in protocols:
        kind = GrpcTransport if protocol == "grpc" else HttpTransport
        async with grpc_receiver() if protocol == "grpc" else http_receiver() as received:
            endpoint = f"http://127.0.0.1:{received.port}"
            settings = OtlpSettings(endpoint=endpoint, protocol=protocol)
            async with kind(settings) as transport:
                exporter = OtlpTraceExporter(transport, Stage("sink", "spans"))
                start = time.perf_counter()
                for batch in batches(findings):
                    await exporter.export(batch)
                seconds = time.perf_counter() - start
            assert len(received.spans()) == len(findings)
        show(
            f"OTLP {protocol}, gzip, {size_mb:.0f} MB",
            seconds,
            len(findings),
            yardstick,
            "encoding",
        )


def bench_scrape() -> None:
    """32 partitions with 60 histogram series each: a busy aggregator that owns everything."""
    samples: list[tuple[int, Sample]] = [
        (
            partition,
            Histogram(
                name=f"gen_ai.metric_{metric}",
                unit="s",
                description="A duration.",
                labels=(("gen_ai.request.model", f"model-{model}"),),
                bounds=tuple(0.01 * 2**i for i in range(14)),
                counts=tuple(range(15)),
                sum=1.0,
            ),
        )
        for partition in range(32)
        for metric in range(6)
        for model in range(10)
    ]
    registry = CollectorRegistry()
    registry.register(PartitionCollector(lambda: samples))
    text = generate_latest(registry)
    collect = best(lambda: list(registry.collect()))
    seconds = best(lambda: generate_latest(registry))
    print(
        f"scrape of {len(samples)} histograms, {len(text) / 1e6:.1f} MB: {seconds * 1e3:.0f} ms, "
        f"{seconds / collect:.1f} x collecting them"
    )


def main() -> None:
    findings = make_findings(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
    bench_encoding(findings)
    with tempfile.TemporaryDirectory() as directory:
        bench_file(findings, Path(directory))
    asyncio.run(bench_otlp(findings))
    bench_scrape()


if __name__ == "__main__":
    main()
