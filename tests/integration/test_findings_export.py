"""Exporters over a real bus: nothing lost, poison apart, a slow sink waited for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from agentsight_aggregator.worker.answers import Answer, Answers
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.export_positions import exported_up_to
from agentsight_core.bus.findings import Claimant, PartitionExport
from agentsight_core.bus.letters import read_letter
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.bus.sinks import ExportSettings, Sink
from agentsight_core.errors import Permanent, Retryable
from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.telemetry.ledger import Ledger, Stage
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually

pytestmark = pytest.mark.server

SETTINGS = ExportSettings(batch=16, first_wait_seconds=0.01, last_wait_seconds=0.05)


class Receiver:
    """Keeps what it gets; is away for some calls; refuses findings whose method is "bad"."""

    def __init__(self, away_calls: int = 0) -> None:
        self.got: list[str] = []
        self.calls = 0
        self._away_calls = away_calls

    async def export(self, batch: Sequence[Finding]) -> None:
        self.calls += 1
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
async def exporting(
    bus: Bus,
    receiver: Receiver,
    stage: Stage,
    name: str = "sink",
    *,
    claimant: Claimant | None = None,
    settings: ExportSettings = SETTINGS,
) -> AsyncIterator[PartitionExport]:
    export = PartitionExport(Sink(name, receiver, bus, stage, settings), bus, 0, claimant)
    running = asyncio.create_task(export.run())
    try:
        yield export
    finally:
        export.stop()
        await asyncio.wait([running], timeout=5)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_sink_that_is_away_gets_everything_later(tmp_path: Path) -> None:
    sink, stage = Receiver(away_calls=5), Ledger().stage("export", "findings")
    methods = [str(n) for n in range(100)]
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await store(running.bus, methods)
        async with exporting(running.bus, sink, stage) as runner:
            await runner.settle()
            assert runner.behind == 0
    assert sink.got == methods
    assert sink.calls == 5 + 100 // SETTINGS.batch + 1
    assert (stage.emitted, stage.held, stage.unexplained) == (100, 0, 0)


async def test_findings_that_expired_while_the_sink_was_away_are_counted(tmp_path: Path) -> None:
    sink, ledger = Receiver(), Ledger()
    async with running_bus(tmp_path, BusSettings(partitions=2)) as running:
        bus = running.bus
        await answer(bus, 0, ["0", "1"])
        async with exporting(bus, sink, ledger.stage("first", "findings")) as runner:
            await runner.settle()
        for numbers in (["2", "3", "4"], ["5"], ["6", "7"]):
            await answer(bus, 0, numbers)
            await answer(bus, 1, ["of another partition"])
        await bus.js.purge_stream(subjects.FINDINGS, seq=9)
        sixth = await bus.get(subjects.FINDINGS, 9)
        assert Finding.FromString(sixth.data).edge.method == "6"
        stage = ledger.stage("second", "findings")
        async with exporting(bus, sink, stage) as runner:
            await runner.settle()
        again = ledger.stage("third", "findings")
        await answer(bus, 0, ["8"])
        async with exporting(bus, sink, again) as runner:
            await runner.settle()
    assert sink.got == ["0", "1", "6", "7", "8"]
    assert (stage.received, stage.emitted, stage.dropped) == (6, 2, {"expired": 4})
    assert (stage.unexplained, again.emitted, again.dropped) == (0, 1, {})


async def answer(bus: Bus, partition: int, methods: Sequence[str]) -> None:
    """Write findings as the owner of the partition does."""
    answers = Answers(bus, partition, "test")
    await answers.read_last()
    places = [(answers.place[0] + 1, ordinal) for ordinal in range(1, len(methods) + 1)]
    findings = [Finding(session=1, edge=Edge(method=method)) for method in methods]
    await answers.append([Answer(*one) for one in zip(places, findings, strict=True)])


async def test_refused_findings_are_dead_letters_and_the_others_arrive(tmp_path: Path) -> None:
    sink, stage = Receiver(), Ledger().stage("export", "findings")
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
    early, late = Receiver(), Receiver()
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


class Gated(Receiver):
    """Has taken a batch as soon as it is called; answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.answer = asyncio.Event()

    async def export(self, batch: Sequence[Finding]) -> None:
        await super().export(batch)
        self.reached.set()
        await self.answer.wait()


async def test_a_batch_that_no_sink_has_answered_comes_again(tmp_path: Path) -> None:
    class Stuck(Gated):
        async def export(self, batch: Sequence[Finding]) -> None:
            self.reached.set()
            await self.answer.wait()

    stuck, sink = Stuck(), Receiver()
    stage = Ledger().stage("export", "findings")
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await store(running.bus, ["1", "2", "3"])
        export = PartitionExport(Sink("sink", stuck, running.bus, stage, SETTINGS), running.bus, 0)
        stuck_export = asyncio.create_task(export.run())
        await stuck.reached.wait()
        assert (stage.held, export.behind) == (3, 3)
        stuck_export.cancel()
        await asyncio.wait([stuck_export])
        assert (stage.received, stage.held) == (0, 0)
        async with exporting(running.bus, sink, stage) as runner, asyncio.timeout(10):
            await runner.settle()
    assert sink.got == ["1", "2", "3"]


async def test_hand_over_waits_for_the_batch_that_is_under_way(tmp_path: Path) -> None:
    """The former owner lives: its batch is answered, and not sent by the new one again."""
    former, new = Gated(), Receiver()
    stage = Ledger().stage("export", "findings")
    one = Claimant("one", is_member=lambda member: member in ("one", "two"))
    two = Claimant("two", is_member=lambda member: member in ("one", "two"))
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        bus = running.bus
        await store(bus, ["1", "2", "3"])
        export = PartitionExport(Sink("sink", former, bus, stage, SETTINGS), bus, 0, one)
        task = asyncio.create_task(export.run())
        await former.reached.wait()
        export.stop()
        await store(bus, ["4"])
        async with exporting(bus, new, stage, claimant=two) as taking:
            # It has looked more than once, and goes on waiting.
            await asyncio.sleep(0.5)
            assert new.got == []
            former.answer.set()
            await task
            await taking.settle()
        assert await exported_up_to(bus, "sink", 0) == 4
    assert (former.got, new.got) == (["1", "2", "3"], ["4"])


async def test_nobody_waits_for_a_member_that_is_gone(tmp_path: Path) -> None:
    """Kill -9: the position is as of the last batch that was recorded."""
    former, new = Gated(), Receiver()
    stage = Ledger().stage("export", "findings")
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        bus = running.bus
        former.answer.set()
        await store(bus, ["1", "2"])
        claimant = Claimant("one")
        async with exporting(bus, former, stage, claimant=claimant) as runner:
            await runner.settle()
            former.answer.clear()
            former.reached.clear()
            await store(bus, ["3"])
            runner.wrote(3, 1)
            await former.reached.wait()
            async with exporting(bus, new, stage, claimant=Claimant("two")) as taking:
                await taking.settle()
            # The former one hears an answer after all: its position is not its own any more.
            await store(bus, ["4"])
            former.answer.set()
            async with exporting(bus, new, stage, claimant=Claimant("two")) as taking:
                await taking.settle()
    # Only the batch under way is there twice.
    assert former.got[:3] == ["1", "2", "3"]
    assert new.got[:1] == ["3"]
    assert sorted(set(former.got + new.got)) == ["1", "2", "3", "4"]


async def test_who_does_not_own_the_partition_sends_nothing(tmp_path: Path) -> None:
    owned = True
    sink, stage = Receiver(), Ledger().stage("export", "findings")
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        await store(running.bus, ["1"])
        claimant = Claimant("one", owns=lambda: owned)
        async with exporting(running.bus, sink, stage, claimant=claimant) as runner:
            await runner.settle()
            owned = False
            await store(running.bus, ["2"])
            runner.wrote(2, 1)
            await eventually(lambda: stage.held == 0 and runner.behind == 1)
            owned = True
            await runner.settle()
    assert sink.got == ["1", "2"]
    assert (stage.emitted, stage.unexplained) == (2, 0)
