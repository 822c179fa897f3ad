"""Exchanges for the tests of wire formats, with hand-written bodies in the documented formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from agentsight_aggregator.call import LlmCall
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.providers import read_call

Read = Callable[..., LlmCall | None]


def to_bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def make_exchange(
    url: str,
    request: Any = b"",
    answer: Any = b"",
    *,
    method: str = "POST",
    status: int = 200,
    headers: dict[str, str] | None = None,
    pieces: tuple[tuple[int, int], ...] = (),
    problem: str = "",
) -> Exchange:
    parts = urlsplit(url)
    return Exchange(
        session=1,
        pid=2,
        connection=3,
        index=0,
        start_ns=1_767_000_000 * 10**9,
        request_end_ns=1_767_000_000 * 10**9 + 1,
        response_start_ns=1_767_000_000 * 10**9 + 2,
        end_ns=1_767_000_001 * 10**9,
        method=method,
        scheme=parts.scheme,
        authority=parts.netloc,
        target=parts.path + (f"?{parts.query}" if parts.query else ""),
        request_headers=(("content-type", "application/json"),),
        request_body=to_bytes(request),
        status=status,
        response_headers=tuple((headers or {}).items()),
        response_body=to_bytes(answer),
        response_pieces=pieces,
        complete=not problem,
        problem=problem,
    )


def make_sse(events: Iterable[Any], *, named: bool = False, done: bool = False) -> bytes:
    """Server-sent events; `named` puts each event's type into its event field."""
    blocks = []
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        blocks.append(f"{name}data: {json.dumps(event)}\n\n")
    return "".join([*blocks, "data: [DONE]\n\n" if done else ""]).encode()


@pytest.fixture
def read() -> Read:
    """Read the call of an exchange that is described by the arguments of `make_exchange`."""
    return lambda *args, **kwargs: read_call(make_exchange(*args, **kwargs))


@pytest.fixture
def sse() -> Callable[..., bytes]:
    return make_sse
