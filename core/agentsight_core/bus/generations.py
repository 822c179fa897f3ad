"""The cluster's configuration on the bus: a log of generations, and who runs which of them.

A generation is written on the condition that the one before it is still the last. Must not know
what the values mean, nor apply them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing, StoredMessage
from agentsight_core.bus.failures import SequenceConflict
from agentsight_core.errors import Permanent

# How many generations are kept to roll back to.
HISTORY = 64
# A member that has not reported for so long is forgotten.
REPORT_TTL_SECONDS = 60

_CONFIG = f"KV_{subjects.CONFIG}"
_GENERATION = f"$KV.{subjects.CONFIG}.generation"
_STATUS = f"KV_{subjects.STATUS}"
_REPORTS = f"$KV.{subjects.STATUS}"


class Generation(msgspec.Struct, frozen=True):
    """One state of the cluster's configuration: only what was set, as nested sections."""

    number: int
    values: dict[str, Any] = {}
    # Unix ns.
    time_ns: int = 0
    author: str = ""
    # Why: "set capture.mode", "rolled back to 3".
    note: str = ""


# What runs when nobody has set anything.
NOTHING_SET = Generation(0)


class Report(msgspec.Struct, frozen=True):
    """What one member runs."""

    # "agent" or "aggregator".
    component: str
    name: str
    # Number of the generation that it runs.
    generation: int
    # The newest one that it knows; larger than `generation` if it refused that one.
    offered: int
    ok: bool
    # All that is wrong with what was refused, a sentence each.
    problems: list[str] = []
    # Unix ns.
    time_ns: int = 0
    # Values that differ from those of the generation, because this node's environment says so.
    pinned: list[str] = []


class Outdated(Permanent):
    """Somebody else has written a generation meanwhile: look at it and try again."""


class GenerationLog:
    """Reads and writes generations and reports over one connection."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def last(self) -> Generation:
        """Return the newest generation; NOTHING_SET if there is none. Raises Retryable."""
        return _generation(await self._bus.last(_CONFIG, _GENERATION))

    async def history(self) -> list[Generation]:
        """Return the generations that are kept, oldest first."""
        found: list[Generation] = []
        sequence = 1
        while message := await self._bus.next(_CONFIG, sequence, _GENERATION):
            found.append(_generation(message))
            sequence = message.sequence + 1
        return found

    async def append(self, generation: Generation) -> None:
        """Write `generation`, whose number follows that of the last one; raises Outdated."""
        last = await self._bus.last(_CONFIG, _GENERATION)
        if generation.number != _generation(last).number + 1:
            raise Outdated(_outdated(generation.number))
        message = Outgoing(_GENERATION, msgspec.json.encode(generation))
        try:
            await self._bus.append([message], _GENERATION, last.sequence if last else 0)
        except SequenceConflict as error:
            raise Outdated(_outdated(generation.number)) from error

    async def report(self, report: Report) -> None:
        """Say what this member runs; to be repeated, as reports expire."""
        token = subjects.token
        subject = f"{_REPORTS}.{token(report.component)}.{token(report.name)}"
        headers = {subjects.TTL: f"{REPORT_TTL_SECONDS}s"}
        await self._bus.publish(Outgoing(subject, msgspec.json.encode(report), headers))

    async def reports(self) -> list[Report]:
        """Return what the members have said, by component and name."""
        found: list[Report] = []
        sequence = 1
        while message := await self._bus.next(_STATUS, sequence, f"{_REPORTS}.*.*"):
            found.append(msgspec.json.decode(message.data, type=Report))
            sequence = message.sequence + 1
        return sorted(found, key=lambda report: (report.component, report.name))


def _generation(message: StoredMessage | None) -> Generation:
    if message is None:
        return NOTHING_SET
    try:
        return msgspec.json.decode(message.data, type=Generation)
    except msgspec.DecodeError as error:
        raise Permanent(f"message {message.sequence} of {_CONFIG} is no generation") from error


def _outdated(number: int) -> str:
    return f"generation {number} was written by somebody else meanwhile: look at it and try again"
