"""Notes that the processes of a cluster keep on the bus: who is there, what it does, its ledger.

A note lives for a few of its intervals: who writes no more is gone soon. Must not decide anything
by them: they are for people.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from google.protobuf.message import DecodeError

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.reading import read_page
from agentsight_core.errors import AgentSightError, Permanent
from agentsight_core.pb.api_pb2 import LedgerStage, MemberStatus
from agentsight_core.telemetry.ledger import Ledger

_log = logging.getLogger(__name__)

_BUCKET = f"KV_{subjects.STATUS}"
_NOTES = f"$KV.{subjects.STATUS}.*.*.note"
_INTERVAL_SECONDS = 5.0
_INTERVALS = 3
# After a failure: a stream that was just made has no leader for some seconds.
_AGAIN_SECONDS = 1.0
_LEAVE_SECONDS = 1.0
_PAGE = 500
_PAGE_BYTES = 4 << 20
_OPERATION = "KV-Operation"
# What a member that leaves writes; it need not be kept for long.
_GONE_SECONDS = 1


def note_subject(kind: str, name: str) -> str:
    """Return where the member `name` of `kind` ("agent", "aggregator") keeps its note."""
    return f"$KV.{subjects.STATUS}.{subjects.token(kind)}.{subjects.token(name)}.note"


def ledger_stages(ledger: Ledger) -> list[LedgerStage]:
    """Return the counts of `ledger` as they are now."""
    return [
        LedgerStage(
            stage=stage.name,
            unit=stage.unit,
            received=stage.received,
            emitted=stage.emitted,
            held=stage.held,
            filtered=stage.filtered,
            dropped=stage.dropped,
            unexplained=stage.unexplained,
        )
        for stage in ledger.stages
    ]


async def write_note(bus: Bus, note: MemberStatus, ttl_seconds: int) -> None:
    """Replace the note of a member; the server forgets it after `ttl_seconds`."""
    headers = {subjects.TTL: f"{ttl_seconds}s"}
    subject = note_subject(note.kind, note.name)
    await bus.publish(Outgoing(subject, note.SerializeToString(), headers))


async def remove_note(bus: Bus, kind: str, name: str) -> None:
    """Say that a member has left."""
    headers = {_OPERATION: "DEL", subjects.TTL: f"{_GONE_SECONDS}s"}
    await bus.publish(Outgoing(note_subject(kind, name), b"", headers))


async def read_notes(bus: Bus) -> list[MemberStatus]:
    """Return the notes there are, ordered by kind and name. Raises Retryable."""
    notes: list[MemberStatus] = []
    sequence = 1
    while sequence:
        page = await read_page(bus, _BUCKET, sequence, _NOTES, _PAGE, _PAGE_BYTES)
        notes += [
            _note(message.subject, message.data)
            for message in page.messages
            if _OPERATION not in message.headers
        ]
        sequence = page.next_sequence
    return sorted(notes, key=lambda note: (note.kind, note.name))


@contextlib.asynccontextmanager
async def noted(
    bus: Bus,
    describe: Callable[[], MemberStatus],
    interval_seconds: float = _INTERVAL_SECONDS,
) -> AsyncIterator[None]:
    """Keep the note that `describe` returns up to date while the context is open."""
    ttl_seconds = max(1, round(interval_seconds * _INTERVALS))

    async def keep() -> None:
        trouble = ""
        while True:
            try:
                await write_note(bus, describe(), ttl_seconds)
                trouble, wait_s = "", interval_seconds
            except AgentSightError as error:
                # The next one makes up for it; whoever looks sees that this member is silent.
                wait_s = min(_AGAIN_SECONDS, interval_seconds)
                if str(error) != trouble:
                    trouble = str(error)
                    _log.info("the note of this process cannot be written: %s", error)
            await asyncio.sleep(wait_s)

    keeping = asyncio.create_task(keep(), name="note")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        if bus.client.is_connected:
            note = describe()
            with contextlib.suppress(AgentSightError, TimeoutError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await remove_note(bus, note.kind, note.name)


def _note(subject: str, data: bytes) -> MemberStatus:
    try:
        return MemberStatus.FromString(data)
    except DecodeError as error:
        raise Permanent(f"{subject} holds no note of a member") from error
