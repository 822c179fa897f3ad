"""How fast calls are read: exchanges/s and MB/s per wire format, over the recordings of the SDKs.

.venv/bin/python bench/bench_providers.py
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.providers import read_call
from agentsight_aggregator.streams.exchanges import ExchangeAssembler
from agentsight_core.endpoints import find_endpoint
from agentsight_core.recordings.har import read_har

RECORDINGS = Path(__file__).resolve().parent.parent / "tests" / "golden" / "providers"
SECONDS = 0.3


def load() -> dict[str, list[Exchange]]:
    families: dict[str, list[Exchange]] = {}
    for path in sorted(RECORDINGS.glob("*.har")):
        assembler = ExchangeAssembler()
        for event in read_har(path.read_bytes(), source=path.name):
            kind = event.WhichOneof("body") or ""
            if kind.startswith("http_"):
                families.setdefault(path.stem, []).extend(assembler.observe(kind, event))
    return families


def rate(exchanges: list[Exchange]) -> tuple[float, float]:
    """Return calls/s and body MB/s."""
    for exchange in exchanges:
        read_call(exchange)
    begin = time.perf_counter()
    rounds = 0
    while time.perf_counter() - begin < SECONDS:
        for exchange in exchanges:
            read_call(exchange)
        rounds += 1
    seconds = time.perf_counter() - begin
    size = sum(len(e.request_body) + len(e.response_body) for e in exchanges)
    return rounds * len(exchanges) / seconds, rounds * size / seconds / 1e6


def endpoint_ns() -> float:
    heads = [("POST", "api.openai.com", "/v1/chat/completions"), ("GET", "example.com", "/a/b?c=d")]
    begin = time.perf_counter_ns()
    for _ in range(20_000):
        for head in heads:
            find_endpoint(*head)
    return (time.perf_counter_ns() - begin) / 40_000


def long_stream() -> list[Exchange]:
    """The recorded Anthropic stream with its text delta repeated: what a long answer costs."""
    exchange = next(e for e in load()["anthropic"] if b"text_delta" in e.response_body)
    marker = b"event: content_block_delta\n"
    head, _, tail = exchange.response_body.partition(marker)
    event = marker + tail.partition(b"\n\n")[0] + b"\n\n"
    body = head + event * 5_000 + marker + tail

    return [msgspec.structs.replace(exchange, response_body=body)]


def main() -> None:
    print(f"find_endpoint: {endpoint_ns():.0f} ns a request head")
    for family, exchanges in load().items():
        calls, megabytes = rate(exchanges)
        print(f"{family:18} {calls:8.0f} calls/s {megabytes:8.1f} MB/s")
    calls, megabytes = rate(long_stream())
    print(f"{'5,000 deltas':18} {calls:8.1f} calls/s {megabytes:8.1f} MB/s")


if __name__ == "__main__":
    main()
