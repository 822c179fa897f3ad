"""How far an exporter has come in a partition: kept on the bus, written by one holder at a time.

Every write is compare-and-set, so that a former holder is refused. Must not decide who owns a
partition.
"""

from __future__ import annotations

import uuid

import msgspec

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing, StoredMessage
from agentsight_core.bus.failures import SequenceConflict
from agentsight_core.errors import Permanent, Retryable

_BUCKET = f"KV_{subjects.EXPORTS}"


class PositionTaken(Retryable):
    """Another holder has the position: what it has written counts."""


class _Record(msgspec.Struct):
    # Sequence in FINDINGS up to which the sink has everything.
    position: int
    # The member that exports; a claim of it that nobody else has, "" when it was given back.
    member: str
    claim: str
    # Number of the finding there (subjects.NUMBER); 0: unknown.
    number: int = 0


class ExportPosition:
    """The position of one exporter in one partition, as one member sees it."""

    def __init__(self, bus: Bus, exporter: str, partition: int, member: str) -> None:
        self._bus = bus
        self._subject = subjects.export_subject(exporter, partition)
        self._member = member
        self._claim = uuid.uuid4().hex
        self._revision = 0
        # Recorded, as far as this member knows.
        self.position = 0
        self.number = 0

    async def look(self) -> str:
        """Read the position; return the member that holds it, "" if nobody does, or this one."""
        record = await self._read()
        self.position = record.position if record else 0
        self.number = record.number if record else 0
        if record is None or not record.claim or record.member == self._member:
            return ""
        return record.member

    async def claim(self) -> None:
        """Take the position as it was at the last look; raises PositionTaken if it has changed."""
        await self._write(self.position, self.number, self._claim)

    async def record(self, position: int, number: int) -> None:
        """Write that everything up to `position`, the finding `number`, is exported.

        Raises PositionTaken, Retryable.
        """
        await self._write(position, number, self._claim)

    async def release(self, position: int, number: int) -> None:
        """Write the last position and give it back; raises PositionTaken, Retryable."""
        await self._write(position, number, "")

    async def _write(self, position: int, number: int, claim: str) -> None:
        data = msgspec.json.encode(_Record(position, self._member, claim, number))
        try:
            message = Outgoing(self._subject, data)
            self._revision = await self._bus.append([message], self._subject, self._revision)
        except SequenceConflict as error:
            # Ours, if an answer was lost: then the claim is.
            expected = self._revision
            record = await self._read()
            if record is None or record.claim != self._claim:
                self._revision = expected
                raise PositionTaken(f"{self._subject} has another holder: {error}") from error
            try:
                message = Outgoing(self._subject, data)
                self._revision = await self._bus.append([message], self._subject, self._revision)
            except SequenceConflict as again:
                # A write of ours without an answer is still on its way through the servers.
                raise Retryable(f"{self._subject} is being written: {again}") from again
        self.position, self.number = position, number

    async def _read(self) -> _Record | None:
        found = await self._bus.last(_BUCKET, self._subject)
        self._revision = found.sequence if found else 0
        return _decoded(found) if found else None


async def exported_up_to(bus: Bus, exporter: str, partition: int) -> int:
    """Return the recorded position of `exporter` in `partition`, a sequence in FINDINGS."""
    found = await bus.last(_BUCKET, subjects.export_subject(exporter, partition))
    record = _decoded(found) if found else None
    return record.position if record else 0


def _decoded(found: StoredMessage) -> _Record | None:
    if not found.data:
        # A person has deleted the key: from the beginning again.
        return None
    try:
        return msgspec.json.decode(found.data, type=_Record)
    except msgspec.DecodeError as error:
        raise Permanent(f"{found.subject} holds no position of an exporter: {error}") from error
