"""Frames: numbered without a gap, ordered by worth, bounded, and on the ledger."""

from __future__ import annotations

import pytest
from agentsight_agent.frames import FrameWriter, Identity, Rank
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.wire import decode_frame, encode_events
from hypothesis import given
from hypothesis import strategies as st

IDENTITY = Identity(agent_id="agent", epoch_ns=77, node="node-1", cluster="test")


class Kept:
    """A sink that keeps frames, decoded, in the order in which they came."""

    def __init__(self) -> None:
        self.frames: list[tuple[pb.FrameHeader, list[pb.Event], int]] = []

    def put(self, header: pb.FrameHeader, frame: bytes, rank: int) -> None:
        inside, events = decode_frame(frame)
        assert inside == header
        self.frames.append((header, list(events), rank))

    async def drain(self) -> None: ...

    async def close(self) -> None: ...


def event(session: int, number: int, size: int = 0) -> pb.Event:
    opened = pb.FileOpened(path="x" * size)
    return pb.Event(session=session, boot_ns=number, file_opened=opened)


@pytest.fixture
def sink() -> Kept:
    return Kept()


@pytest.fixture
def stage() -> Stage:
    return Stage("events", "events")


@pytest.fixture
def writer(sink: Kept, stage: Stage) -> FrameWriter:
    return FrameWriter(IDENTITY, sink, stage)


def test_a_frame_says_who_wrote_it(writer: FrameWriter, sink: Kept) -> None:
    writer.add_events([event(5, 1), event(5, 2)])
    writer.flush()
    ((header, events, rank),) = sink.frames
    assert header == pb.FrameHeader(
        agent_id="agent",
        epoch_ns=77,
        session=5,
        seq=1,
        event_count=2,
        node="node-1",
        cluster="test",
    )
    assert [e.boot_ns for e in events] == [1, 2]
    assert rank == Rank.MEANING


def test_meaning_goes_before_effects(writer: FrameWriter, sink: Kept) -> None:
    writer.add_encoded(1, encode_events([event(1, 1)]), 1, Rank.EFFECTS)
    writer.add_encoded(2, encode_events([event(2, 1)]), 1, Rank.EFFECTS)
    writer.add_events([event(1, 2), event(2, 2)])
    writer.flush()
    assert [(header.session, rank) for header, _, rank in sink.frames] == [
        (1, Rank.MEANING),
        (2, Rank.MEANING),
        (1, Rank.EFFECTS),
        (2, Rank.EFFECTS),
    ]
    # One count per session over both ranks.
    assert [header.seq for header, _, _ in sink.frames] == [1, 1, 2, 2]


def test_a_full_frame_is_closed_before_the_flush(writer: FrameWriter, sink: Kept) -> None:
    half = FrameWriter.FRAME_BYTES // 2
    writer.add_events([event(1, 1, half), event(1, 2, half), event(1, 3)])
    assert [[e.boot_ns for e in events] for _, events, _ in sink.frames] == [[1]]
    writer.flush()
    assert [[e.boot_ns for e in events] for _, events, _ in sink.frames] == [[1], [2, 3]]


def test_an_event_larger_than_a_frame_gets_one_of_its_own(writer: FrameWriter, sink: Kept) -> None:
    size = 3 * FrameWriter.FRAME_BYTES
    writer.add_events([event(1, 1), event(1, 2, size), event(1, 3)])
    writer.flush()
    assert [[e.boot_ns for e in events] for _, events, _ in sink.frames] == [[1], [2], [3]]


def test_a_flush_without_events_writes_nothing(writer: FrameWriter, sink: Kept) -> None:
    writer.flush()
    writer.add_events([event(1, 1)])
    writer.flush()
    writer.flush()
    assert len(sink.frames) == 1


STEPS = st.lists(
    st.one_of(
        st.just("flush"),
        st.tuples(
            st.integers(0, 3), st.sampled_from(list(Rank)), st.sampled_from([1, 9_000, 200_000])
        ),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_event_is_in_one_frame_and_numbers_have_no_gap(
    steps: list[str | tuple[int, Rank, int]],
) -> None:
    sink, stage = Kept(), Stage("events", "events")
    writer = FrameWriter(IDENTITY, sink, stage)
    given_events: dict[tuple[int, int], list[int]] = {}
    for number, step in enumerate(steps):
        if isinstance(step, str):
            writer.flush()
        else:
            session, rank, size = step
            batch = encode_events([event(session, number, size)])
            writer.add_encoded(session, batch, 1, rank)
            given_events.setdefault((session, rank), []).append(number)
        assert stage.unexplained == 0
        assert stage.received - stage.held == sum(len(events) for _, events, _ in sink.frames)
    writer.flush()

    assert stage.held == 0
    found: dict[tuple[int, int], list[int]] = {}
    numbers: dict[int, list[int]] = {}
    for header, events, rank in sink.frames:
        assert header.event_count == len(events) > 0
        found.setdefault((header.session, rank), []).extend(e.boot_ns for e in events)
        numbers.setdefault(header.session, []).append(header.seq)
    assert found == given_events
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in numbers.values())
