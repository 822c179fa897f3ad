"""What a plugin fails on is a dead letter of the plugin; sent again, the plugin alone sees it."""

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from agentsight_aggregator.coordination.local import LocalCoordinator
from agentsight_aggregator.deadletters import list_letters, replay_letter
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.plugins.fold import PluggedFold
from agentsight_aggregator.plugins.guarded_analyzer import Limits
from agentsight_aggregator.worker.aggregator import Aggregator, AggregatorSettings
from agentsight_aggregator.worker.partition import WorkerSettings
from agentsight_aggregator.worker.reader import ReaderSettings
from agentsight_core import ids, wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.testing.agent_log import AgentLog, text, user
from agentsight_core.testing.buses import running_bus
from agentsight_core.testing.conditions import eventually
from agentsight_core.testing.counting_fold import CountingFold

pytestmark = pytest.mark.server

SETTINGS = AggregatorSettings(
    WorkerSettings(ReaderSettings(wait_seconds=0.2), checkpoint_seconds=0.05)
)


class Repairable(CountingFold):
    """Raises on executions until somebody has repaired it."""

    repaired = False

    def observe(self, event: pb.Event) -> Iterable[Finding]:
        if event.HasField("process_executed"):
            if not self.repaired:
                raise ValueError("cannot read this")
            about = ("seen", event.pid)
            yield Finding(id=ids.digest(*about, size=16), edge=Edge(method="seen by the plugin"))


async def publish(bus: Bus, events: list[pb.Event]) -> None:
    header = pb.FrameHeader(
        agent_id="a", epoch_ns=1, session=events[0].session, seq=1, event_count=len(events)
    )
    frame = wire.encode_frame(header, wire.encode_events(events))
    await bus.publish(Outgoing(subjects.event_subject(header), frame))


async def findings(bus: Bus) -> list[Finding]:
    found, number = [], 1
    while message := await bus.next(subjects.FINDINGS, number, "findings.>"):
        found.append(Finding.FromString(message.data))
        number = message.sequence + 1
    return found


@contextlib.asynccontextmanager
async def working(bus: Bus, plugin: Repairable, ledger: Ledger):
    coordinator = LocalCoordinator(1)
    aggregator = Aggregator(
        bus,
        coordinator,
        lambda _: PluggedFold(build_fold(), ["one"], lambda _: plugin, Limits()),
        ledger,
        SETTINGS,
    )
    async with coordinator:
        running = asyncio.create_task(aggregator.run())
        try:
            await eventually(lambda: running.done() or len(aggregator.folds()) == 1)
            yield aggregator
        finally:
            aggregator.stop()
            await running


async def test_a_letter_of_a_plugin_is_for_the_plugin(tmp_path: Path) -> None:
    log = AgentLog()
    log.start(1.0)
    log.call(2.0, 3.0, [user("a question")], [text("an answer")])
    log.run(4.0, 5.0, 300, ["ls"])
    log.end(60.0)
    plugin, ledger = Repairable(), Ledger()
    async with running_bus(tmp_path, BusSettings(partitions=1)) as running:
        bus = running.bus
        async with working(bus, plugin, ledger) as aggregator:
            await publish(bus, log.events)
            await aggregator.settle()
            before = await findings(bus)
            (filed,) = [one async for one in list_letters(bus)]
            assert (filed.letter.stage, filed.letter.error) == (
                "plugin:one",
                "ValueError: cannot read this",
            )
            stage = ledger.stage("plugin.one", "frames")
            assert (stage.received, stage.dropped) == (1, {"failed": 1})
            worker = ledger.stage("worker", "frames")
            assert (worker.received, worker.emitted, worker.dropped) == (1, 1, {})
            plugin.repaired = True
            await replay_letter(bus, filed.number)
            await aggregator.settle()
        after = await findings(bus)
        assert not [one async for one in list_letters(bus)]
    assert after[: len(before)] == before
    assert {one.edge.method for one in after[len(before) :]} == {"seen by the plugin"}
