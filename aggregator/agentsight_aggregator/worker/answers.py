"""The findings of one partition as a log: what has been answered, and the fenced writing of more.

Every finding carries the input it answers and its number among the findings of that input. So a
batch may be cut anywhere, and a successor knows to the finding where to go on.

Must not fold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentsight_core import ids
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing, StoredMessage
from agentsight_core.bus.failures import SequenceConflict
from agentsight_core.errors import AgentSightError, Retryable
from agentsight_core.pb.findings_pb2 import Finding, LossRecord

_log = logging.getLogger(__name__)

# The server takes 1,000 messages in a batch.
_BATCH_MESSAGES = 500
_BATCH_BYTES = 4 << 20
# Room for the headers of a message.
_HEADER_BYTES = 1024
_ATTEMPTS = 5

# (sequence in EVENTS, number of the finding among those of that input, from 1)
Place = tuple[int, int]


class Fenced(Retryable):
    """Another owner has written: drop the state; take the partition anew if it is still owned."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finding and what it answers."""

    place: Place
    finding: Finding


class Answers:
    """The findings of `partition`, written by one `writer` (a name that nobody else has)."""

    def __init__(self, bus: Bus, partition: int, writer: str) -> None:
        self._bus = bus
        self._partition = partition
        self._writer = writer
        self._filter = subjects.findings_filter(partition)
        self._last_sequence = 0
        # Number of the last finding.
        self._number = 0
        # What was answered last; everything up to it must not be written again.
        self.place: Place = (0, 0)
        # Findings too large for the bus, replaced by a loss record.
        self.too_large = 0

    @property
    def last_sequence(self) -> int:
        """Sequence in FINDINGS of the partition's last finding; 0 without one."""
        return self._last_sequence

    async def read_last(self) -> None:
        """Learn from the bus where the partition's findings end."""
        last = await self._bus.last(subjects.FINDINGS, self._filter)
        if last is not None:
            self._last_sequence = last.sequence
            self._number = subjects.finding_number(last.headers)
            self.place = _place(last)

    async def append(self, answers: Sequence[Answer]) -> int:
        """Write those `answers` that are not yet written; return how many these were.

        Raises Fenced, Retryable.
        """
        new = [answer for answer in answers if answer.place > self.place]
        numbered = enumerate(new, start=self._number + 1)
        for batch in _batches([self._message(answer, number) for number, answer in numbered]):
            await self._append_batch(batch)
            self._number += len(batch)
        return len(new)

    async def _append_batch(self, batch: list[tuple[Place, Outgoing]]) -> None:
        messages = [message for _, message in batch]
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._last_sequence = await self._bus.append(
                    messages, self._filter, self._last_sequence
                )
            except (SequenceConflict, Retryable) as error:
                if await self._was_written(batch[-1][0], error):
                    break
                if attempt == _ATTEMPTS:
                    raise Retryable(f"partition {self._partition}: {error}") from error
            else:
                break
        self.place = batch[-1][0]

    async def _was_written(self, end: Place, error: AgentSightError) -> bool:
        """Find out, after a lost answer or a refusal, whether the batch up to `end` is stored."""
        last = await self._bus.last(subjects.FINDINGS, self._filter)
        if last is None or last.sequence == self._last_sequence:
            # Nobody has written; if there is nothing at all, the older findings have expired.
            self._last_sequence = last.sequence if last else 0
            return False
        if last.headers.get(subjects.WRITER) == self._writer and _place(last) == end:
            self._last_sequence = last.sequence
            return True
        raise Fenced(f"partition {self._partition} has another owner: {error}") from error

    def _message(self, answer: Answer, number: int) -> tuple[Place, Outgoing]:
        sequence, ordinal = answer.place
        finding = answer.finding
        data = finding.SerializeToString(deterministic=True)
        if len(data) + _HEADER_BYTES > self._bus.max_payload_bytes:
            finding = _too_large(finding)
            data = finding.SerializeToString(deterministic=True)
            self.too_large += 1
        headers = {
            # A finding has no id for the server to compare: the fence is what keeps it single.
            subjects.INPUT: f"{sequence}.{ordinal}",
            subjects.NUMBER: str(number),
            subjects.WRITER: self._writer,
        }
        subject = subjects.finding_subject(self._partition, finding)
        return answer.place, Outgoing(subject, data, headers)


def _too_large(finding: Finding) -> Finding:
    return Finding(
        id=ids.digest("too_large", finding.id, size=16),
        session=finding.session,
        time_ns=finding.time_ns,
        loss=LossRecord(stage="findings", reason="too_large", count=1, unit="findings"),
    )


def _place(message: StoredMessage) -> Place:
    sequence, _, number = message.headers.get(subjects.INPUT, "0.0").partition(".")
    return int(sequence), int(number)


def _batches(messages: list[tuple[Place, Outgoing]]) -> Iterator[list[tuple[Place, Outgoing]]]:
    batch: list[tuple[Place, Outgoing]] = []
    size = 0
    for place, message in messages:
        cost = len(message.data) + _HEADER_BYTES
        if batch and (len(batch) == _BATCH_MESSAGES or size + cost > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((place, message))
        size += cost
    if batch:
        yield batch
