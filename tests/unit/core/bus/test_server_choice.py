import asyncio
from urllib.parse import urlparse

import pytest
from agentsight_core.bus import choice
from agentsight_core.bus.choice import ServerOrder, Suspicion
from agentsight_core.bus.failures import SequenceConflict, StuckServer
from agentsight_core.errors import Retryable
from nats.aio.client import Server
from nats.js.errors import APIError, ServiceUnavailableError

SERVERS = [Server(uri=urlparse(f"nats://host{number}:4222")) for number in range(3)]


def test_the_server_that_was_left_comes_last():
    for _ in range(20):
        order = ServerOrder(wait_seconds=0.2)
        order.arrived("host1:4222")
        chosen = [order(SERVERS, {})[0].uri.hostname for _ in range(3)]
        assert sorted(chosen) == ["host0", "host1", "host2"]
        assert chosen[-1] == "host1"


def test_the_others_are_tried_at_once_and_then_with_waits():
    order = ServerOrder(wait_seconds=0.2)
    order.arrived("host1:4222")
    waits = [order(SERVERS, {})[1] for _ in range(5)]
    assert waits[:2] == [0.0, 0.0]
    assert all(0.1 <= wait <= 0.3 for wait in waits[2:])


@pytest.fixture
def left():
    return asyncio.Event()


@pytest.fixture
def suspicion(left):
    async def leave() -> None:
        left.set()

    return Suspicion(leave)


async def test_a_stuck_leader_is_left_at_once(suspicion, left):
    with pytest.raises(StuckServer), suspicion.asking():
        raise StuckServer("10158")
    await asyncio.wait_for(left.wait(), 1)
    assert suspicion.changes == 1
    # The next server gets its chance.
    with pytest.raises(StuckServer), suspicion.asking():
        raise StuckServer("10158")
    assert suspicion.changes == 1


async def test_a_server_that_answers_nothing_is_left(suspicion, left, monkeypatch):
    monkeypatch.setattr(choice, "_PATIENCE_SECONDS", 0.02)
    with suspicion.asking():
        await asyncio.wait_for(left.wait(), 1)
    assert suspicion.changes == 1


async def test_a_slow_request_beside_others_that_are_answered_is_none_of_it(suspicion, monkeypatch):
    monkeypatch.setattr(choice, "_PATIENCE_SECONDS", 0.02)
    overdue = asyncio.Event()

    def judge(asked_at: float) -> None:
        Suspicion._overdue(suspicion, asked_at)
        overdue.set()

    monkeypatch.setattr(suspicion, "_overdue", judge)
    with suspicion.asking():
        with suspicion.asking():
            pass
        await asyncio.wait_for(overdue.wait(), 1)
    assert suspicion.changes == 0


async def test_refusals_are_answers(suspicion, monkeypatch):
    monkeypatch.setattr(choice, "_PATIENCE_SECONDS", -1.0)
    full = Retryable("maximum bytes exceeded")
    full.__cause__ = APIError(code=400, err_code=10077)
    for error in (SequenceConflict("fenced"), full):
        with pytest.raises(type(error)), suspicion.asking():
            raise error
    assert suspicion.changes == 0


async def test_a_server_that_says_for_long_that_nobody_leads_is_left(suspicion, left, monkeypatch):
    monkeypatch.setattr(choice, "_PATIENCE_SECONDS", -1.0)
    unavailable = Retryable("10008")
    unavailable.__cause__ = ServiceUnavailableError(code=503, err_code=10008)
    with pytest.raises(Retryable), suspicion.asking():
        raise unavailable
    await asyncio.wait_for(left.wait(), 1)
    assert suspicion.changes == 1
