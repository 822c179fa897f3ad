"""Exporters over a real bus: nothing lost, poison apart, a slow sink waited for."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.findings import ExportRunner, ExportSettings
from agentsight_core.bus.letters import read_letter
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.errors import Permanent, Retryable
from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.telemetry.ledger import Ledger, Stage
from agentsight_core.testing.buses import running_bus

pytestmark = pytest.mark.server

SETTINGS = ExportSettings(batch=16, first_wait_seconds=0.01, last_wait_seconds=0.05)


class Sink:
    """Keeps what it gets; is away for some calls; refuses findings whose method is "bad"."""

    def __init__(self, away_calls: int = 0) -> None:
        self.got: list[str] = []
        self._away_calls = away_calls

    async def export(self, batch: Sequence[Finding]) -> None:
        if self._away_calls:
            self._away_calls -= 1
            raise Retryable("the sink is away")
        methods = [finding.edge.method for finding in batch]
        if "bad" in methods:
            raise Permanent("the sink does not like it")
        self.got += methods


async def store(bus: Bus, methods: Sequence[str]) -> None:
    for method in methods:
        finding = Finding(session=1, edge=Edge(method=method))
        subject = subjects.finding_subject(0, finding)
        await bus.publish(Outgoing(subject, finding.SerializeToString()))


@contextlib.asynccontextmanager
async def exporting(bus: Bus, sink: Sink, stage: Stage, name: str = "sink"):
    runner = ExportRunner(name, sink, bus, stage, SETTINGS)
    running = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_sink_that_is_away_gets_everything_later(tmp_path: Path) -> None:
    sink, stage = Sink(away_calls=5), Ledger().stage("export", "findings")
    methods = [str(n) for n in range(100)]
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await store(running.bus, methods)
        async with exporting(running.bus, sink, stage) as runner:
            await runner.settle()
            assert runner.retries == 5
    assert sink.got == methods
    assert (stage.emitted, stage.held, stage.unexplained) == (100, 0, 0)


async def test_refused_findings_are_dead_letters_and_the_others_arrive(tmp_path: Path) -> None:
    sink, stage = Sink(), Ledger().stage("export", "findings")
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await store(running.bus, ["a", "b", "bad", "c", "bad", "d"])
        await running.bus.publish(Outgoing("findings.0.0.span", b"\xff no protobuf"))
        async with exporting(running.bus, sink, stage) as runner:
            await runner.settle()
        letters = [read_letter(await running.bus.get(subjects.DLQ, n)) for n in (1, 2, 3)]
    assert sink.got == ["a", "b", "c", "d"]
    assert {letter.stage for letter in letters} == {"export:sink"}
    assert sorted(letter.sequence for letter in letters) == [3, 5, 7]
    assert (stage.emitted, stage.dropped, stage.unexplained) == (4, {"dead_letter": 3}, 0)


async def test_each_exporter_has_its_own_place_and_keeps_it(tmp_path: Path) -> None:
    early, late = Sink(), Sink()
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await store(running.bus, ["1", "2"])
        async with exporting(
            running.bus, early, Ledger().stage("e", "findings"), "early"
        ) as runner:
            await runner.settle()
        await store(running.bus, ["3"])
        async with exporting(running.bus, late, Ledger().stage("l", "findings"), "late") as runner:
            await runner.settle()
        async with exporting(
            running.bus, early, Ledger().stage("f", "findings"), "early"
        ) as runner:
            await runner.settle()
    assert early.got == ["1", "2", "3"]
    assert late.got == ["1", "2", "3"]


async def test_batch_without_acknowledgement_comes_again_at_once(tmp_path: Path) -> None:
    class Stuck(Sink):
        reached = asyncio.Event()

        async def export(self, batch: Sequence[Finding]) -> None:
            self.reached.set()
            await asyncio.Event().wait()

    stuck, sink = Stuck(), Sink()
    stage = Ledger().stage("export", "findings")
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await store(running.bus, ["1", "2", "3"])
        async with exporting(running.bus, stuck, stage):
            await stuck.reached.wait()
        assert (stage.received, stage.held) == (0, 0)
        async with exporting(running.bus, sink, stage) as runner, asyncio.timeout(10):
            await runner.settle()
    assert sink.got == ["1", "2", "3"]
