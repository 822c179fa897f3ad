"""Recorded traffic of the vendors' SDKs gives the calls that are written beside it.

The recordings are made by sdk/record.py; the expected values are written by hand there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agentsight_aggregator.call import LlmCall
from agentsight_aggregator.providers import read_call
from agentsight_aggregator.streams.exchanges import ExchangeAssembler
from agentsight_core.recordings.har import read_har

HERE = Path(__file__).resolve().parent
FAMILIES = sorted(path.stem for path in HERE.glob("*.har"))


def read_calls(family: str) -> dict[int, LlmCall | None]:
    """Return the call of each entry, by the number of the entry."""
    path = HERE / f"{family}.har"
    assembler = ExchangeAssembler()
    calls = {}
    for event in read_har(path.read_bytes(), source=path.name):
        kind = event.WhichOneof("body")
        for exchange in assembler.observe(kind, event) if kind.startswith("http_") else ():
            assert exchange.complete
            calls[exchange.connection] = read_call(exchange)
    return calls


def describe(call: LlmCall) -> dict[str, Any]:
    return {
        "provider": call.provider,
        "operation": call.operation,
        "request_model": call.request_model,
        "response_model": call.response_model,
        "stream": call.stream,
        "input_tokens": call.usage.input_tokens,
        "output_tokens": call.usage.output_tokens,
        "tool_names": [tool.name for tool in call.tool_calls],
        "error_type": call.error_type,
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_sdk_recording(family):
    scenarios = json.loads((HERE / f"{family}.expected.json").read_text())
    calls = read_calls(family)
    read = [
        {"name": item["name"], "expected": describe(call) if (call := calls[number]) else None}
        for number, item in enumerate(scenarios, 1)
    ]
    assert read == scenarios


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_wrong_with_what_an_sdk_accepts(family):
    for call in read_calls(family).values():
        assert call is None or call.error_type or not call.problems


def test_there_are_recordings():
    assert len(FAMILIES) >= 10
