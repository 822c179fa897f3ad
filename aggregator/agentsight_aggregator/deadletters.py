"""Looking at dead letters, sending them again, throwing them away.

Must not write letters: the stages do.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import Enum

from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.failures import NotFound, translated
from agentsight_core.bus.letters import DeadLetter, read_letter
from agentsight_core.errors import MalformedFrame, Retryable
from agentsight_core.pb import events_pb2 as pb

_ALL = "dlq.>"
_EXPORT = "export:"
_PLUGIN = "plugin:"


@dataclass(frozen=True, slots=True)
class FiledLetter:
    """A dead letter and its number in the DLQ, by which people name it."""

    number: int
    letter: DeadLetter


class Replay(Enum):
    """What became of a letter that was to be sent again."""

    SENT = "sent again"
    UNREADABLE = "not sent: it is no frame, only a changed program could read it"
    FINDING = "not sent: it is a finding; its exporter reads it again under a new name"


async def list_letters(bus: Bus, stage: str = "") -> AsyncIterator[FiledLetter]:
    """Yield the dead letters, oldest first, of `stage` only if one is given."""
    pattern = f"dlq.*.{subjects.token(stage)}.*" if stage else _ALL
    number = 1
    while message := await bus.next(subjects.DLQ, number, pattern):
        yield FiledLetter(message.sequence, read_letter(message))
        number = message.sequence + 1


async def show_letter(bus: Bus, number: int) -> FiledLetter:
    """Return the letter `number`; raises NotFound."""
    return FiledLetter(number, read_letter(await bus.get(subjects.DLQ, number)))


async def replay_letter(bus: Bus, number: int, repaired: bytes = b"") -> Replay:
    """Put the frame of letter `number`, `repaired` or as it is, into EVENTS; remove the letter.

    The worker folds it although it has seen its number. Raises NotFound, Retryable.
    """
    letter = (await show_letter(bus, number)).letter
    if repaired:
        letter = replace(letter, data=repaired, is_cut=False)
    if letter.stage.startswith(_EXPORT):
        return Replay.FINDING
    header = _header(letter)
    if header is None:
        return Replay.UNREADABLE
    # A message id of its own: the server still knows that of the first time.
    headers = {subjects.REPLAYED: "1", subjects.MESSAGE_ID: f"dlq:{number}:{letter.time_ns}"}
    if letter.stage.startswith(_PLUGIN):
        # The others have folded it.
        headers[subjects.REPLAYED_FOR] = letter.stage.removeprefix(_PLUGIN)
    await bus.publish(Outgoing(subjects.event_subject(header), letter.data, headers))
    await delete_letter(bus, number)
    return Replay.SENT


def _header(letter: DeadLetter) -> pb.FrameHeader | None:
    if letter.is_cut:
        return None
    try:
        return wire.decode_header(letter.data)
    except MalformedFrame:
        return None


async def delete_letter(bus: Bus, number: int) -> None:
    """Throw letter `number` away; one that is gone already is no error."""
    try:
        with translated(f"deleting dead letter {number}"):
            await bus.js.delete_msg(subjects.DLQ, number)
    except Retryable:
        with contextlib.suppress(NotFound):
            await bus.get(subjects.DLQ, number)
            raise


async def purge_letters(bus: Bus, stage: str = "") -> int:
    """Throw all letters away, of `stage` only if one is given; return how many."""
    numbers = [filed.number async for filed in list_letters(bus, stage)]
    for number in numbers:
        await delete_letter(bus, number)
    return len(numbers)
