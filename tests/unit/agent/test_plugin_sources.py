"""A source plugin adds effects of watched processes; what it does wrong stays its own affair."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from agentsight_agent.sources import PluginSource
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.ports import Source
from agentsight_core.telemetry.ledger import Ledger, Stage
from agentsight_core.testing.conditions import eventually

SESSION = 0xA1
PID = 300


def opened(pid: int = PID, path: str = "/x", session: int = 0) -> pb.Event:
    return pb.Event(boot_ns=1, wall_ns=2, pid=pid, session=session, file_opened={"path": path})


class Scripted:
    """Gives its batches, then waits; an exception among them is raised."""

    def __init__(self, *script: Sequence[pb.Event] | Exception) -> None:
        self.script = script

    async def batches(self) -> AsyncIterator[Sequence[pb.Event]]:
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            yield step
        await asyncio.Event().wait()


class Hanging:
    """Never gives the loop back."""

    released = threading.Event()

    async def batches(self) -> AsyncIterator[Sequence[pb.Event]]:
        self.released.wait(60)
        yield []


class Running:
    def __init__(self, make: Callable[[], Source], max_failures: int = 1) -> None:
        self.taken: list[pb.Event] = []
        self.stage: Stage = Ledger().stage("source.one", "events")
        self.source = PluginSource(
            "one",
            make,
            lambda pid: SESSION if pid == PID else 0,
            self.taken.extend,
            self.stage,
            lambda: max_failures,
        )


async def test_the_agent_says_whose_an_event_is() -> None:
    # The second process is in no session, whatever the source says.
    batch = [opened(), opened(pid=4, session=SESSION), opened(path="/y", session=7)]
    running = Running(lambda: Scripted(batch, [], [opened(path="/z")]))
    async with running.source:
        await eventually(lambda: running.stage.received == 4)
    assert [(one.session, one.file_opened.path) for one in running.taken] == [
        (SESSION, "/x"),
        (SESSION, "/y"),
        (SESSION, "/z"),
    ]
    assert (running.stage.emitted, running.stage.filtered) == (3, {"not in a session": 1})
    assert running.stage.unexplained == 0


@pytest.mark.parametrize(
    "event",
    [
        pb.Event(pid=PID, http_body={"data": b"a secret"}),
        pb.Event(pid=PID, session_started={"agent_name": "mine"}),
        pb.Event(pid=PID),
    ],
)
async def test_content_and_sessions_are_not_for_sources(event: pb.Event) -> None:
    running = Running(lambda: Scripted([event]))
    async with running.source:
        await eventually(lambda: running.stage.received == 1)
    assert running.taken == []
    assert running.stage.dropped == {"kind_not_allowed": 1}


async def test_one_that_raises_begins_anew_until_it_is_enough() -> None:
    made: list[Source] = []

    def make() -> Source:
        made.append(Scripted([opened()], ValueError("broken")))
        return made[-1]

    running = Running(make, max_failures=2)
    async with running.source:
        await eventually(lambda: not running.source.is_on)
        await eventually(lambda: running.stage.received == 2)
    assert (len(made), len(running.taken)) == (2, 2)


async def test_one_that_hangs_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentsight_agent.sources._STOP_S", 0.01)
    running = Running(Hanging)
    async with running.source:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
    Hanging.released.set()
