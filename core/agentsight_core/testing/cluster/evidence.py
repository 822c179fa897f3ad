"""Everything that the cluster has stored, read back for the oracle.

Must not judge it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from nats.js.api import AckPolicy, ConsumerConfig

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import translated
from agentsight_core.errors import Retryable
from agentsight_core.pb.findings_pb2 import Finding


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of a stream."""

    subject: str
    sequence: int
    # Unix seconds at which the stream's leader took it.
    time_s: float
    data: bytes
    input: str
    writer: str
    replayed: bool
    # Id of the key by which it is sealed as a message; "": it is not.
    key_id: str = ""

    @property
    def partition(self) -> int:
        """The partition in its subject (`events.P.…`, `tick.P`, `findings.P.…`)."""
        return int(self.subject.split(".")[1])


@dataclass(slots=True)
class Evidence:
    """The streams at the end of a run."""

    events: list[Stored] = field(default_factory=list)
    findings: list[Stored] = field(default_factory=list)
    letters: list[Stored] = field(default_factory=list)

    def parsed_findings(self) -> Iterator[tuple[Stored, Finding]]:
        """Yield each finding with its message."""
        for stored in self.findings:
            yield stored, Finding.FromString(stored.data)


async def gather(bus: Bus) -> Evidence:
    """Read EVENTS, FINDINGS and DLQ from the beginning to their present end."""
    return Evidence(
        events=await read_stream(bus, subjects.EVENTS),
        findings=await read_stream(bus, subjects.FINDINGS),
        letters=await read_stream(bus, subjects.DLQ, opened=False),
    )


async def read_stream(bus: Bus, stream: str, *, opened: bool = True) -> list[Stored]:
    """Return all messages of `stream`, in order; raises Retryable when that stops in the middle.

    Not `opened`: as they are stored. A letter is sealed for the place where its finding was.
    """
    last = (await bus.stream_state(stream)).state.last_seq
    found: list[Stored] = []
    if not (await bus.stream_state(stream)).state.messages:
        return found
    with translated(f"reading {stream}"):
        subscription = await bus.js.pull_subscribe(
            "", stream=stream, config=ConsumerConfig(ack_policy=AckPolicy.NONE)
        )
    try:
        while not found or found[-1].sequence < last:
            with translated(f"reading {stream}"):
                messages = await subscription.fetch(500, timeout=5)
            found += [_stored(bus if opened else None, message) for message in messages]
    finally:
        with contextlib.suppress(Retryable), translated("unsubscribing"):
            await subscription.unsubscribe()
    return found


def _stored(bus: Bus | None, message: object) -> Stored:
    headers = message.headers or {}  # type: ignore[attr-defined]  # the library has no types
    metadata = message.metadata  # type: ignore[attr-defined]
    return Stored(
        subject=message.subject,  # type: ignore[attr-defined]
        sequence=metadata.sequence.stream,
        time_s=metadata.timestamp.timestamp(),
        data=bus.content(message) if bus else message.data,  # type: ignore[attr-defined]
        input=headers.get(subjects.INPUT, ""),
        writer=headers.get(subjects.WRITER, ""),
        replayed=subjects.REPLAYED in headers,
        key_id=headers.get(subjects.KEY, ""),
    )
