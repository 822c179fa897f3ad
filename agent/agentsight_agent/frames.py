"""Closes events into frames: one session each, numbered without a gap, for spool or recording.

Must not wait: a sink takes a frame at once and does the slow part itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.frames import FrameSink
from agentsight_core.sealing import Sealer
from agentsight_core.telemetry.ledger import Stage
from agentsight_core.wire import encode_events, encode_frame


class Rank(IntEnum):
    """What a full spool gives up first: the highest number."""

    # Sessions, losses, processes, HTTP: without them the rest means nothing.
    MEANING = 0
    # Files and connections of tracked processes.
    EFFECTS = 1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who writes: goes into every frame's header."""

    agent_id: str
    # Unix ns of the start of this process: a restarted agent numbers its frames anew.
    epoch_ns: int
    node: str
    cluster: str


@dataclass(slots=True)
class _OpenFrame:
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    count: int = 0


class FrameWriter:
    """Collects encoded events per session and rank; closes a frame when full or at `flush`."""

    # Well below the bus' max_payload (8 MiB), far above the cost of a message.
    FRAME_BYTES = 256 * 1024

    def __init__(
        self, identity: Identity, sink: FrameSink, stage: Stage, sealer: Sealer | None = None
    ) -> None:
        self._sealer = sealer
        self._identity = identity
        self._sink = sink
        # Counts events.
        self._stage = stage
        self._open: dict[tuple[int, Rank], _OpenFrame] = {}
        self._last_seq: dict[int, int] = {}

    def add_events(self, events: Iterable[pb.Event]) -> None:
        """Take events of any sessions, in order."""
        for event in events:
            self.add_encoded(event.session, encode_events([event]), 1, Rank.MEANING)

    def add_encoded(self, session: int, batch: bytes, count: int, rank: Rank) -> None:
        """Take `count` events of one session that are already a serialized EventBatch."""
        self._stage.received += count
        self._stage.held += count
        key = (session, rank)
        frame = self._open.setdefault(key, _OpenFrame())
        if frame.count and frame.size + len(batch) > self.FRAME_BYTES:
            self._close(key)
            frame = self._open.setdefault(key, _OpenFrame())
        frame.parts.append(batch)
        frame.size += len(batch)
        frame.count += count

    @property
    def is_empty(self) -> bool:
        """True while no event waits for its frame to be closed."""
        return not self._open

    def flush(self) -> None:
        """Close every open frame, the meaningful ones first."""
        for key in sorted(self._open, key=lambda key: key[1]):
            self._close(key)

    def _close(self, key: tuple[int, Rank]) -> None:
        frame = self._open.pop(key)
        session, rank = key
        seq = self._last_seq.get(session, 0) + 1
        self._last_seq[session] = seq
        header = pb.FrameHeader(
            agent_id=self._identity.agent_id,
            epoch_ns=self._identity.epoch_ns,
            session=session,
            seq=seq,
            event_count=frame.count,
            node=self._identity.node,
            cluster=self._identity.cluster,
        )
        self._sink.put(header, encode_frame(header, b"".join(frame.parts), self._sealer), rank)
        self._stage.held -= frame.count
        self._stage.emitted += frame.count
