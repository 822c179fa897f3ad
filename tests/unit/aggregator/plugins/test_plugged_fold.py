"""A plugin's faults stay its own: the built-in fold's findings are the same with and without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.plugins.fold import PluggedFold
from agentsight_aggregator.plugins.guarded_analyzer import Limits
from agentsight_aggregator.worker.folding import Folding, Outcome
from agentsight_core import ids, wire
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.ports import END_OF_TIME_NS, Analyzer
from agentsight_core.testing.agent_log import AgentLog, text, user
from agentsight_core.testing.counting_fold import CountingFold

LIMITS = Limits(seconds=0.1, failures=3)


class Well(CountingFold):
    """A plugin without a fault, with ids of its own."""

    def observe(self, event: pb.Event) -> Iterable[Finding]:
        for finding in super().observe(event):
            finding.id = ids.digest("well", finding.id, size=16)
            yield finding


class Raising(Well):
    def observe(self, event: pb.Event) -> Iterable[Finding]:
        if event.HasField("process_executed"):
            raise ValueError("not this one")
        return super().observe(event)


class Spinning(Well):
    def observe(self, event: pb.Event) -> Iterable[Finding]:
        while event.HasField("process_executed"):
            pass
        return super().observe(event)


class Sleeping(Well):
    def observe(self, event: pb.Event) -> Iterable[Finding]:
        if event.HasField("process_executed"):
            time.sleep(3600)
        return super().observe(event)


class Stubborn(Well):
    """Swallows what ends it."""

    def observe(self, event: pb.Event) -> Iterable[Finding]:
        try:
            while event.HasField("process_executed"):
                pass
        except BaseException:  # noqa: BLE001  # on purpose
            while True:
                pass
        return super().observe(event)


class Exiting(Well):
    def observe(self, event: pb.Event) -> Iterable[Finding]:
        if event.HasField("process_executed"):
            raise SystemExit(3)
        return super().observe(event)


class Spoiling(Well):
    """Changes what the others see."""

    def observe(self, event: pb.Event) -> Iterable[Finding]:
        event.Clear()
        return ()


class Lying(Well):
    def observe(self, event: pb.Event) -> Iterable[Finding]:
        return [Finding(id=b"short", edge=Edge())] if event.HasField("process_executed") else ()


FAULTY = [Raising, Spinning, Sleeping, Stubborn, Exiting, Lying]


def log(commands: int = 2) -> list[pb.Event]:
    made = AgentLog()
    made.start(1.0)
    made.call(2.0, 3.0, [user("a question")], [text("an answer")])
    for number in range(commands):
        made.run(4.0 + number, 4.5 + number, 300 + number, ["ls"])
    made.end(60.0)
    return made.events


def plugged(make: Callable[[], Analyzer], *names: str) -> PluggedFold:
    return PluggedFold(build_fold(), names or ("one",), lambda _: make(), LIMITS)


def folded(fold: Analyzer, events: list[pb.Event]) -> list[Finding]:
    found = [finding for event in events for finding in fold.observe(event)]
    return [*found, *fold.advance(END_OF_TIME_NS)]


@pytest.mark.parametrize("faulty", FAULTY)
def test_a_fault_costs_the_plugin_one_event_and_nobody_else_anything(faulty: type[Well]) -> None:
    events = log()
    fold = plugged(faulty)
    findings = folded(fold, events)
    expected = folded(build_fold(), events)
    plain = {finding.SerializeToString() for finding in expected}
    assert [f.SerializeToString() for f in findings if f.SerializeToString() in plain] == [
        f.SerializeToString() for f in expected
    ]
    executed = sum(event.HasField("process_executed") for event in events)
    assert len(fold.take_failures()) == executed
    assert fold.plugins == {"one": executed < LIMITS.failures}


def test_what_a_plugin_finds_stands_behind_the_rest() -> None:
    events = log()
    fold, plain = plugged(Well), build_fold()
    for event in events:
        both, alone = list(fold.observe(event)), list(plain.observe(event))
        assert both[: len(alone)] == alone
        assert len(both) == len(alone) + 1
    assert not fold.take_failures()


def test_an_event_that_a_plugin_changes_is_a_copy() -> None:
    events = log()
    fold = PluggedFold(
        build_fold(), ("a", "b"), lambda name: {"a": Spoiling, "b": Well}[name](), LIMITS
    )
    assert len(folded(fold, events)) == len(folded(plugged(Well), events))


def test_after_some_failures_it_is_off_also_after_a_restart() -> None:
    fold = plugged(Raising)
    folded(fold, log(commands=5))
    assert fold.plugins == {"one": False}
    successor = plugged(Well)
    successor.restore(fold.snapshot())
    assert successor.plugins == {"one": False}
    assert not [f for e in log() for f in successor.observe(e) if f.edge.method.startswith("1:")]


def test_a_restart_anywhere_changes_nothing() -> None:
    events = log()
    expected = [f.SerializeToString() for f in folded(plugged(Well), events)]
    for place in range(len(events)):
        fold = plugged(Well)
        found = [f for event in events[:place] for f in fold.observe(event)]
        successor = PluggedFold(build_fold(), (), lambda _: Well(), LIMITS)
        successor.restore(fold.snapshot())
        found += folded(successor, events[place:])
        assert [f.SerializeToString() for f in found] == expected


def test_the_log_says_who_takes_part() -> None:
    fold = PluggedFold(build_fold(), (), lambda _: Well(), LIMITS)
    settings = pb.FoldSettings(content_on_spans=True, session_idle_ns=1, analyzers=["b", "a"])
    list(fold.observe(pb.Event(wall_ns=1, tick=pb.Tick(settings=settings))))
    assert fold.plugins == {"a": True, "b": True}
    list(fold.observe(pb.Event(wall_ns=2, tick=pb.Tick())))
    assert fold.plugins == {"a": True, "b": True}
    settings.analyzers[:] = ["b"]
    list(fold.observe(pb.Event(wall_ns=3, tick=pb.Tick(settings=settings))))
    assert fold.plugins == {"b": True}


def test_a_plugin_that_cannot_be_made_is_off_and_told() -> None:
    def make() -> Analyzer:
        raise RuntimeError("no such table")

    fold = plugged(make)
    assert fold.plugins == {"one": False}
    assert [failure.error for failure in fold.take_failures()] == ["RuntimeError: no such table"]
    assert folded(fold, log()) == folded(build_fold(), log())


def test_the_worker_keeps_the_frame_and_says_what_failed() -> None:
    folding = Folding(0, plugged(Raising))
    events = log()
    header = pb.FrameHeader(agent_id="a", epoch_ns=1, session=events[0].session, seq=1)
    header.event_count = len(events)
    frame = wire.encode_frame(header, wire.encode_events(events))
    result = folding.frame(7, frame)
    assert (result.outcome, result.failures) == (
        Outcome.FOLDED,
        {"one": "ValueError: not this one"},
    )
    again = folding.frame(8, frame, replayed=True, plugin="one")
    assert again.outcome is Outcome.FOLDED
    assert all(finding.edge.method for finding in again.findings), "only the plugin saw it again"


def test_limits_change_while_plugins_run() -> None:
    limits = Limits(seconds=0.1, failures=100)
    fold = PluggedFold(build_fold(), ["one"], lambda _: Raising(), limits)
    folded(fold, log())
    assert fold.plugins == {"one": True}
    limits.failures = 1
    folded(fold, log())
    assert fold.plugins == {"one": False}
