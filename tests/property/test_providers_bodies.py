"""Whatever the bodies hold, reading a call never raises and never makes up what is not there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.providers import read_call
from agentsight_aggregator.streams.exchanges import ExchangeAssembler
from agentsight_core.recordings.har import read_har
from agentsight_core.testing.wrong_values import every_wrong
from hypothesis import given, settings
from hypothesis import strategies as st

RECORDINGS = Path(__file__).resolve().parent.parent / "golden" / "providers"


@cache
def recorded() -> tuple[Exchange, ...]:
    """Return every exchange of the SDK recordings that is a call."""
    assembler = ExchangeAssembler()
    found = []
    for path in sorted(RECORDINGS.glob("*.har")):
        for event in read_har(path.read_bytes(), source=path.name):
            kind = event.WhichOneof("body") or ""
            if kind.startswith("http_"):
                found += [e for e in assembler.observe(kind, event) if read_call(e) is not None]
    assert len(found) > 50
    return tuple(found)


@cache
def one_of_each_format() -> tuple[Exchange, ...]:
    chosen = {}
    for exchange in recorded():
        call = read_call(exchange)
        assert call is not None
        chosen.setdefault((call.api, call.stream), exchange)
    assert len(chosen) > 15
    return tuple(chosen.values())


exchanges = st.deferred(lambda: st.sampled_from(recorded()))
# The words that the readers look for, taken from the recordings themselves.
WORDS = sorted(
    {
        word
        for path in RECORDINGS.glob("*.har")
        for word in json.dumps(json.loads(path.read_text())).replace("\\", "").split('"')
        if 1 < len(word) < 30 and word.replace("_", "").replace(".", "").isalnum()
    }
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(WORDS)
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
    ),
    max_leaves=25,
)


@given(exchange=exchanges, data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_cut_answer_never_raises_and_never_invents_tokens(exchange, data):
    whole = read_call(exchange)
    assert whole is not None
    length = data.draw(st.integers(0, len(exchange.response_body)))
    cut = msgspec.structs.replace(exchange, response_body=exchange.response_body[:length])
    call = read_call(cut)
    if call is None:
        return
    for field in ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens"):
        counted, real = getattr(call.usage, field), getattr(whole.usage, field)
        assert counted is None or (real is not None and counted <= real)
    names = [tool.name for tool in whole.tool_calls]
    assert [tool.name for tool in call.tool_calls] == names[: len(call.tool_calls)]
    msgspec.json.encode(call)


@given(exchange=exchanges, request=st.binary(max_size=60), answer=st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_garbage_never_raises(exchange, request, answer):
    call = read_call(msgspec.structs.replace(exchange, request_body=request, response_body=answer))
    msgspec.json.encode(call)


@given(exchange=st.deferred(lambda: st.sampled_from(one_of_each_format())), value=json_values)
@settings(max_examples=400, deadline=None)
def test_any_json_never_raises(exchange, value):
    raw = json.dumps(value).encode()
    answer = b"data: " + raw + b"\n\n" if b"data:" in exchange.response_body[:200] else raw
    for change in ({"request_body": raw}, {"response_body": answer}):
        call = read_call(msgspec.structs.replace(exchange, **change))
        msgspec.json.encode(call)


def replace_at(value: Any, path: list[int], new: Any) -> Any:
    """Return `value` with the part that `path` leads to replaced by `new`."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = keys[path[0] % len(keys)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = replace_at(value[key], path[1:], new)
    return copy


def json_lines(lines: list[bytes]) -> Iterator[tuple[int, bytes, Any]]:
    """Yield the JSON in each line that has some: the line's number, what is before, the value."""
    for index, line in enumerate(lines):
        head, brace, rest = line.partition(b"{")
        with contextlib.suppress(ValueError):
            yield index, head, json.loads(brace + rest)


def wrong_bodies(body: bytes) -> Iterator[bytes]:
    """Yield a body of one JSON text, or of one in each line, with each wrong value."""
    lines = body.split(b"\n")
    for index, head, value in json_lines(lines):
        before, after = lines[:index], lines[index + 1 :]
        for wrong in every_wrong(value):
            yield b"\n".join([*before, head + json.dumps(wrong).encode(), *after])


def test_no_wrong_value_in_any_place_of_a_real_body_raises():
    tried = 0
    for exchange in recorded():
        for field in ("request_body", "response_body"):
            for body in wrong_bodies(getattr(exchange, field)):
                msgspec.json.encode(read_call(msgspec.structs.replace(exchange, **{field: body})))
                tried += 1
    assert tried > 20_000


@given(
    exchange=exchanges,
    path=st.lists(st.integers(0, 30), min_size=1, max_size=7),
    new=json_values,
)
@settings(max_examples=400, deadline=None)
def test_one_wrong_value_in_a_real_body_never_raises(exchange, path, new):
    request = replace_at(json.loads(exchange.request_body), path, new)
    lines = exchange.response_body.split(b"\n")
    for index, head, value in json_lines(lines):
        if index % 3 == path[0] % 3:
            lines[index] = head + json.dumps(replace_at(value, path[1:], new)).encode()
    changed = {"request_body": json.dumps(request).encode(), "response_body": b"\n".join(lines)}
    msgspec.json.encode(read_call(msgspec.structs.replace(exchange, **changed)))


@pytest.mark.parametrize("depth", [100, 400, 2_000, 100_000])
def test_content_within_content_is_a_problem_and_no_crash(depth):
    for kind in ("tool_result", "model_output", "text"):
        opened = f'{{"type":"{kind}","content":[' * depth
        content = opened.encode() + b"]}" * depth
        keys = (b"messages", b"input", b"content", b"steps", b"contents")
        body = b"{" + b",".join(b'"%b":[%b]' % (key, content) for key in keys)
        for exchange in one_of_each_format():
            raw = body + b',"model":"m"}'
            changed = msgspec.structs.replace(exchange, request_body=raw, response_body=raw)
            call = read_call(changed)
            assert call is None or call.request_model or call.problems


@pytest.mark.parametrize("depth", [100, 2_000, 100_000])
def test_deep_nesting_is_a_problem_and_no_crash(depth):
    raw = b'{"messages":' + b"[" * depth + b"]" * depth + b"}"
    for exchange in one_of_each_format():
        call = read_call(msgspec.structs.replace(exchange, request_body=raw, response_body=raw))
        assert call is None or call.request_model is not None
