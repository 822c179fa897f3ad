"""Settings of the fold that change while it runs: by the log alone, so at the same place always."""

from collections.abc import Sequence

import pytest
from agentsight_aggregator.fold import FoldSettings, PartitionFold, build_fold
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.ports import END_OF_TIME_NS
from agentsight_core.testing.agent_log import AgentLog, text, user, wall_ns

SECOND_NS = 1_000_000_000
PLAIN = FoldSettings(content_on_spans=False, session_idle_ns=5 * SECOND_NS)


def talk(log: AgentLog, at: float, said: str) -> None:
    log.call(at, at + 0.5, [user(said)], [text("an answer")])


def tick(at: float, *, content: bool, idle_s: int) -> pb.Event:
    settings = pb.FoldSettings(content_on_spans=content, session_idle_ns=idle_s * SECOND_NS)
    return pb.Event(wall_ns=wall_ns(at), tick=pb.Tick(settings=settings))


@pytest.fixture
def events() -> Sequence[pb.Event]:
    log = AgentLog()
    log.start(1.0)
    talk(log, 2.0, "first question")
    talk(log, 20.0, "second question")
    log.end(40.0)
    changes = [
        tick(0.5, content=True, idle_s=1800),
        tick(15.0, content=False, idle_s=1800),
        tick(30.0, content=False, idle_s=3),
        tick(35.0, content=False, idle_s=3),
        tick(50.0, content=False, idle_s=3),
    ]
    return sorted([*log.events, *changes], key=lambda event: event.wall_ns)


def folded(fold: PartitionFold, events: Sequence[pb.Event], *, restart_at: int = -1) -> list[bytes]:
    found = []
    for position, event in enumerate(events):
        if position == restart_at:
            # The successor was started with another configuration.
            successor = build_fold(PLAIN)
            successor.restore(fold.snapshot())
            fold = successor
        found += fold.observe(event)
    found += fold.advance(END_OF_TIME_NS)
    return [item.SerializeToString() for item in found]


def test_content_ends_where_the_log_says_so(events: Sequence[pb.Event]) -> None:
    everything = b"".join(folded(build_fold(), events))
    assert b"first question" in everything
    spans = [one for one in folded(build_fold(), events) if b"second question" in one]
    # The message itself is a finding of its own; it is the spans that must not carry it.
    assert all(b"gen_ai.input.messages" not in span for span in spans)


def test_a_successor_with_another_configuration_repeats_it(events: Sequence[pb.Event]) -> None:
    expected = folded(build_fold(), events)
    for place in range(len(events)):
        assert folded(build_fold(), events, restart_at=place) == expected


def test_the_settings_a_fold_began_with_are_in_its_state() -> None:
    fold = build_fold(PLAIN)
    successor = build_fold(FoldSettings())
    successor.restore(fold.snapshot())
    assert successor.snapshot() == fold.snapshot()


def test_idle_time_of_the_log_ends_sessions_earlier(events: Sequence[pb.Event]) -> None:
    without = [event for event in events if event.WhichOneof("body") != "tick"]
    plain = [pb.Event(wall_ns=e.wall_ns, tick=pb.Tick()) for e in events if e.HasField("tick")]
    calm = sorted([*without, *plain], key=lambda event: event.wall_ns)
    assert folded(build_fold(), calm) != folded(build_fold(), events)
