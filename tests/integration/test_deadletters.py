"""Dead letters on a real bus: found, read, sent again, thrown away."""

from pathlib import Path

import pytest
from agentsight_aggregator.deadletters import (
    Replay,
    delete_letter,
    list_letters,
    purge_letters,
    replay_letter,
    show_letter,
)
from agentsight_aggregator.worker.folding import Folding, Outcome
from agentsight_core.bus import subjects
from agentsight_core.bus.failures import NotFound
from agentsight_core.bus.letters import DeadLetter, write_letter
from agentsight_core.bus.provisioning import BusSettings
from agentsight_core.testing.buses import RunningBus, running_bus
from agentsight_core.testing.counting_fold import CountingFold
from agentsight_core.testing.numbered_frames import numbered_frame

pytestmark = pytest.mark.server


@pytest.fixture
async def running(tmp_path: Path):
    async with running_bus(tmp_path, BusSettings(partitions=1)) as bus:
        yield bus


def letter(sequence: int, data: bytes, stage: str = "fold") -> DeadLetter:
    return DeadLetter(stage, "ValueError: ü\nsecond line", 3, 17, 0, "events.0.x", sequence, data)


async def test_round_trip(running: RunningBus) -> None:
    _, frame = numbered_frame(5, 1)
    assert await write_letter(running.bus, letter(42, frame))
    # Folding the same frame again after a crash files no second letter.
    assert not await write_letter(running.bus, letter(42, frame))
    (filed,) = [found async for found in list_letters(running.bus)]
    assert filed.letter.data == frame
    assert filed.letter.error == "ValueError: \\xfc second line"
    assert (filed.letter.attempts, filed.letter.time_ns, filed.letter.sequence) == (3, 17, 42)
    assert await show_letter(running.bus, filed.number) == filed


async def test_replayed_letter_is_folded_although_its_number_was_seen(running: RunningBus) -> None:
    _, frame = numbered_frame(5, 1)
    await write_letter(running.bus, letter(42, frame))
    assert await replay_letter(running.bus, 1) is Replay.SENT
    stored = await running.bus.get(subjects.EVENTS, 1)
    assert stored.data == frame
    folding = Folding(0, CountingFold())
    folding.frame(1, frame)
    replayed = subjects.REPLAYED in stored.headers
    assert folding.frame(2, stored.data, replayed=replayed).outcome is Outcome.FOLDED
    with pytest.raises(NotFound):
        await show_letter(running.bus, 1)


async def test_what_cannot_be_sent_again_is_kept(running: RunningBus) -> None:
    await write_letter(running.bus, letter(1, b"no frame", "decode"))
    await write_letter(running.bus, letter(2, b"a finding", "export:otlp"))
    assert await replay_letter(running.bus, 1) is Replay.UNREADABLE
    assert await replay_letter(running.bus, 2) is Replay.FINDING
    assert [found.number async for found in list_letters(running.bus)] == [1, 2]


async def test_purge_of_one_stage(running: RunningBus) -> None:
    for sequence, stage in enumerate(["fold", "export:otlp", "fold"], start=1):
        await write_letter(running.bus, letter(sequence, b"x", stage))
    assert await purge_letters(running.bus, "fold") == 2
    assert [found.letter.stage async for found in list_letters(running.bus)] == ["export:otlp"]
    # Deleting what is gone is no error.
    await delete_letter(running.bus, 1)
    assert await purge_letters(running.bus) == 1
