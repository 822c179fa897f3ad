"""The checks for plugins: our own implementations pass them, and broken ones do not."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import pytest
from agentsight_aggregator.exporters.jsonl import JsonLinesExporter
from agentsight_aggregator.exporters.rotating_file import RotatingFile
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.plugins.fold import PluggedFold
from agentsight_aggregator.plugins.guarded_analyzer import Limits
from agentsight_core import ids
from agentsight_core.pb.events_pb2 import Event, FileOpened
from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.ports import Analyzer
from agentsight_core.testing.agent_log import AgentLog, text, user
from agentsight_core.testing.contracts import check_analyzer, check_exporter, check_source
from agentsight_core.testing.counting_fold import CountingFold

BATCH = [Finding(id=bytes([n]) * 16, session=1, edge=Edge(method="m")) for n in range(1, 4)]


class Own(CountingFold):
    def observe(self, event: Event) -> Iterable[Finding]:
        for finding in super().observe(event):
            finding.id = ids.digest("own", finding.id, size=16)
            yield finding


@pytest.fixture
def events() -> list[Event]:
    log = AgentLog()
    log.start(1.0)
    log.call(2.0, 3.0, [user("a question")], [text("an answer")])
    log.run(4.0, 5.0, 300, ["ls"])
    log.tick(6.0)
    log.end(7.0)
    return log.events


def with_plugin() -> Analyzer:
    return PluggedFold(build_fold(), ["own"], lambda _: Own(), Limits())


@pytest.mark.parametrize("make", [build_fold, CountingFold, with_plugin])
def test_our_analyzers(make: Callable[[], Analyzer], events: list[Event]) -> None:
    assert check_analyzer(make, events)


class Forgetful(CountingFold):
    def restore(self, state: bytes) -> None:
        """Forget."""


class ByTheClock(CountingFold):
    def observe(self, event: Event) -> Iterable[Finding]:
        for finding in super().observe(event):
            finding.time_ns = time.monotonic_ns()
            yield finding


class Repeating(CountingFold):
    def observe(self, event: Event) -> Iterable[Finding]:
        for finding in super().observe(event):
            finding.id = b"\1" * 16
            yield finding


class Textual(CountingFold):
    def snapshot(self) -> bytes:
        return super().snapshot().decode()  # type: ignore[return-value]


class Choosy(CountingFold):
    def observe(self, event: Event) -> Iterable[Finding]:
        assert event.WhichOneof("body"), "only known events"
        return super().observe(event)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (Forgetful, "restart"),
        (ByTheClock, "a second fold"),
        (Repeating, "the same id"),
        (Textual, "not bytes"),
        (Choosy, "only known events"),
    ],
)
def test_broken_analyzers_are_found(
    make: Callable[[], Analyzer], problem: str, events: list[Event]
) -> None:
    with pytest.raises(AssertionError, match=problem):
        check_analyzer(make, events)


async def test_our_exporter_of_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "findings.jsonl"
    with RotatingFile(path) as file:
        await check_exporter(JsonLinesExporter(file), BATCH, path.read_bytes)


class Collecting:
    def __init__(self) -> None:
        self.found: list[bytes] = []

    async def export(self, batch: Sequence[Finding]) -> None:
        self.found += [finding.SerializeToString() for finding in batch]


class Late(Collecting):
    async def export(self, batch: Sequence[Finding]) -> None:
        if batch:
            await super().export(batch)
            asyncio.get_running_loop().call_soon(self.found.append, b"late")


class Blocking(Collecting):
    async def export(self, batch: Sequence[Finding]) -> None:
        time.sleep(0.6 if batch else 0)  # noqa: ASYNC251  # on purpose
        await super().export(batch)


class Changing(Collecting):
    async def export(self, batch: Sequence[Finding]) -> None:
        await super().export(batch)
        for finding in batch:
            finding.session = 0


class Losing(Collecting):
    async def export(self, batch: Sequence[Finding]) -> None:
        """Take nothing."""


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (Late, "arrived"),
        (Blocking, "blocked"),
        (Changing, "changed the findings"),
        (Losing, "nothing has arrived"),
    ],
)
async def test_broken_exporters_are_found(make: type[Collecting], problem: str) -> None:
    exporter = make()
    with pytest.raises(AssertionError, match=problem):
        await check_exporter(exporter, BATCH, lambda: list(exporter.found))


class Numbers:
    def __init__(self, event: Event) -> None:
        self._event = event

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        for _ in itertools.count():
            yield [self._event]
            await asyncio.sleep(0)


async def test_a_source() -> None:
    event = Event(boot_ns=1, wall_ns=2, file_opened=FileOpened(path="/x"))
    assert len(await check_source(Numbers(event), 5)) == 5


@pytest.mark.parametrize(
    ("event", "problem"),
    [(Event(wall_ns=1), "without a body"), (Event(file_opened={"path": "/x"}), "without wall_ns")],
)
async def test_broken_sources_are_found(event: Event, problem: str) -> None:
    with pytest.raises(AssertionError, match=problem):
        await check_source(Numbers(event), 1)
