"""What every analyzer, exporter and source promises, as checks that a plugin's own tests can call.

Each raises AssertionError with what was broken. Our own tests hold our own implementations to them.
Needs no test framework.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from agentsight_core.pb.events_pb2 import Event
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.ports import END_OF_TIME_NS, Analyzer, Exporter, Source

T = TypeVar("T")

# What the loop may be held up by an exporter or a source.
_BLOCKED_S = 0.5
_BEAT_S = 0.01


def check_analyzer(make: Callable[[], Analyzer], events: Sequence[Event]) -> list[Finding]:
    """Hold an analyzer to `ports.Analyzer` over `events`, and return what it finds.

    Deterministic; the same when saved and restored anywhere; ids of 16 bytes, each once; takes any
    event. `make` makes one with an empty state.
    """
    expected = _fold(make(), events)
    _same(_fold(make(), events), expected, "a second fold of the same events found something else")
    for place in range(len(events) + 1):
        first, second = make(), make()
        found = [finding for event in events[:place] for finding in first.observe(event)]
        state = first.snapshot()
        assert isinstance(state, bytes), f"snapshot() returned {type(state).__name__}, not bytes"
        second.restore(state)
        assert second.snapshot() == state, f"the state changed by a restart before event {place}"
        found += _fold(second, events[place:])
        _same(found, expected, f"a restart before event {place} changed what was found")
    _check_ids(expected)
    for odd in (Event(), Event(session=1), Event(lost={"stage": "x", "count": 1})):
        _check_ids(list(make().observe(odd)))
    return expected


async def check_exporter(
    exporter: Exporter, batch: Sequence[Finding], delivered: Callable[[], object]
) -> None:
    """Hold an exporter to `ports.Exporter` with a `batch` that it can take.

    `delivered` returns what has arrived, in any form that can be compared. Durable on return;
    leaves the findings as they are; no work for no findings; never blocks the loop.
    """
    before = delivered()
    await _unblocked(exporter.export([]))
    assert delivered() == before, "an empty batch was delivered"
    bytes_before = [finding.SerializeToString(deterministic=True) for finding in batch]
    after = await _unblocked(_exported(exporter, batch, delivered))
    assert after != before, "export() returned and nothing has arrived"
    await asyncio.sleep(_BEAT_S)
    assert delivered() == after, "something arrived after export() had returned"
    bytes_after = [finding.SerializeToString(deterministic=True) for finding in batch]
    assert bytes_after == bytes_before, "export() changed the findings"


async def check_source(source: Source, wanted: int, seconds: float = 30.0) -> list[Event]:
    """Hold a source to `ports.Source` until it has given `wanted` events, and return them.

    Every event has a body and both times; the times of a batch do not jump back; cancelling ends
    it; it never blocks the loop.
    """
    found: list[Event] = []

    async def read() -> None:
        async for batch in source.batches():
            found.extend(batch)
            if len(found) >= wanted:
                return

    async with asyncio.timeout(seconds):
        await _unblocked(read())
    for event in found:
        assert event.WhichOneof("body"), "an event without a body"
        assert event.wall_ns, "an event without wall_ns"
        assert event.boot_ns, "an event without boot_ns"
    task = asyncio.create_task(_drain(source))
    await asyncio.sleep(_BEAT_S)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=_BLOCKED_S)
    assert done, "the source does not end when it is cancelled"
    return found


async def _exported(
    exporter: Exporter, batch: Sequence[Finding], delivered: Callable[[], object]
) -> object:
    await exporter.export(batch)
    return delivered()


async def _drain(source: Source) -> None:
    async for _ in source.batches():
        pass


async def _unblocked(work: Awaitable[T]) -> T:
    """Return the result of `work`; the event loop must have had its turn all the time."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(_BEAT_S)
            longest = max(longest, time.monotonic() - began)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    try:
        result = await work
    finally:
        # The last beat was waiting while `work` blocked.
        await asyncio.sleep(_BEAT_S)
        beating.cancel()
    assert longest < _BLOCKED_S, f"the event loop was blocked for {longest:.2f} s"
    return result


def _fold(analyzer: Analyzer, events: Sequence[Event]) -> list[Finding]:
    found = [finding for event in events for finding in analyzer.observe(event)]
    return [*found, *analyzer.advance(END_OF_TIME_NS)]


def _same(found: Sequence[Finding], expected: Sequence[Finding], problem: str) -> None:
    one = [finding.SerializeToString(deterministic=True) for finding in found]
    other = [finding.SerializeToString(deterministic=True) for finding in expected]
    assert one == other, problem


def _check_ids(findings: Sequence[Finding]) -> None:
    for finding in findings:
        assert isinstance(finding, Finding), f"{type(finding).__name__} is no Finding"
        assert len(finding.id) == 16, f"an id of {len(finding.id)} bytes; 16 are needed"
        assert finding.WhichOneof("body"), "a finding without a body"
    ids = [finding.id for finding in findings]
    assert len(set(ids)) == len(ids), "two findings have the same id"
