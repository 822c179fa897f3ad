"""What the seeking thread is given, and when."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from agentsight_agent.looks import NEVER_NS
from agentsight_agent.seeker import Seeker

MS = 1_000_000
NEXT_LOOK_NS = 10_000 * MS


class World:
    """A seeker, and what it has done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.looked_at_ns: list[int] = []
        self.seeker = Seeker(self._look)

    def _look(self, now_ns: int) -> int:
        self.looked_at_ns.append(now_ns)
        return NEXT_LOOK_NS

    def job(self, name: str):
        return lambda: self.done.append(name)

    def turn(self, now_ns: int) -> None:
        """Give the thread what is due, and wait for it."""
        self.seeker.turn(now_ns)
        asyncio.run(self.seeker.run(lambda: None))

    def rest(self) -> None:
        """Have the first look taken."""
        self.turn(0)
        self.turn(1)
        self.looked_at_ns.clear()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.seeker.close()


def test_a_look_is_taken_when_it_is_due(world: World) -> None:
    world.rest()
    assert world.seeker.next_ns == NEXT_LOOK_NS
    world.turn(NEXT_LOOK_NS - 1)
    assert world.looked_at_ns == []
    world.turn(NEXT_LOOK_NS)
    assert world.looked_at_ns == [NEXT_LOOK_NS]


def test_what_can_wait_goes_along_with_what_cannot_and_keeps_its_place(world: World) -> None:
    world.rest()
    world.seeker.later(world.job("first"), 5 * MS)
    world.turn(6 * MS)
    assert world.done == []
    world.seeker.soon(world.job("second"))
    assert world.seeker.next_ns == 0
    world.turn(7 * MS)
    assert world.done == ["first", "second"]


def test_what_can_wait_waits_for_a_moment_only(world: World) -> None:
    world.rest()
    world.seeker.later(world.job("first"), 5 * MS)
    world.seeker.later(world.job("second"), 100 * MS)
    assert world.seeker.next_ns == 205 * MS
    world.turn(205 * MS)
    assert world.done == ["first", "second"]


def test_a_thread_that_is_busy_takes_what_comes_meanwhile(world: World) -> None:
    world.rest()
    go_on = threading.Event()
    world.seeker.soon(go_on.wait)
    world.seeker.turn(1 * MS)
    world.seeker.later(world.job("can wait"), 1 * MS)
    world.seeker.soon(world.job("next"))
    assert world.seeker.next_ns == NEVER_NS
    world.seeker.turn(2 * MS)
    go_on.set()
    asyncio.run(world.seeker.run(lambda: None))
    assert world.done == ["can wait", "next"]
    # Nothing is left that a turn would be needed for before the next look.
    world.seeker.turn(3 * MS)
    assert world.seeker.next_ns == NEXT_LOOK_NS
    world.seeker.later(world.job("later"), 4 * MS)
    assert world.seeker.next_ns == 204 * MS


def test_what_a_job_raises_is_raised_at_the_next_turn(world: World) -> None:
    world.rest()

    def fail() -> None:
        raise OSError("no")

    world.seeker.soon(fail)
    world.turn(1)
    with pytest.raises(OSError, match="no"):
        world.seeker.turn(2)
