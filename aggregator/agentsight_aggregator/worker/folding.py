"""What a partition's worker knows: its place in the log, the marks, the fold's state.

Takes frames one after the other and says what came of each. No I/O; the same frames give the same
results on any replica, also with a save and a restore anywhere between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, runtime_checkable

import msgspec
from agentsight_core import ids, wire
from agentsight_core.errors import CannotOpen, MalformedFrame
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Finding, LossRecord
from agentsight_core.ports import Analyzer
from agentsight_core.sealing import Opener

from agentsight_aggregator.worker.marks import Mark, Marks

_log = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of a frame."""

    FOLDED = "folded"
    DUPLICATE = "duplicate"
    DEAD = "dead_letter"


class Failure(Protocol):
    """What a plugin did wrong with an event."""

    @property
    def plugin(self) -> str:
        """Its name."""
        ...

    @property
    def error(self) -> str:
        """What it raised."""
        ...


@runtime_checkable
class Plugged(Protocol):
    """A fold with plugins, whose failures cost no frame."""

    @property
    def plugins(self) -> Mapping[str, bool]:
        """The plugins that take part, and whether each is still on."""
        ...

    def observe_by(self, name: str, event: pb.Event) -> Iterable[Finding]:
        """Let one plugin alone see an event again."""
        ...

    def take_failures(self) -> Sequence[Failure]:
        """Return the failures since the last call."""
        ...


@dataclass(slots=True)
class Result:
    """What came of one frame."""

    outcome: Outcome
    findings: list[Finding] = field(default_factory=list)
    # Frames that the numbering says are missing before this one.
    missing: int = 0
    # Of a dead one: at which stage and why.
    stage: str = ""
    error: str = ""
    # What went wrong first in each plugin, by its name; the frame itself is folded.
    failures: dict[str, str] = field(default_factory=dict)
    # The plugins that took part, and whether each is still on.
    plugins: Mapping[str, bool] = field(default_factory=dict)


class _Saved(msgspec.Struct, array_like=True):
    position: int
    now_ns: int
    pruned_ns: int
    marks: list[Mark]
    fold: bytes


class Folding:
    """A fold and its place in one partition."""

    def __init__(self, partition: int, fold: Analyzer, opener: Opener | None = None) -> None:
        self.partition = partition
        self._opener = opener
        self.fold = fold
        # Sequence in EVENTS of the last frame taken.
        self.position = 0
        self._marks = Marks([])

    def snapshot(self) -> bytes:
        """Return everything, for `restore`."""
        marks = self._marks
        saved = _Saved(
            self.position, marks.now_ns, marks.pruned_ns, marks.as_list(), self.fold.snapshot()
        )
        return msgspec.msgpack.encode(saved)

    def restore(self, data: bytes) -> None:
        """Take over what `snapshot` returned; raises msgspec.DecodeError if it is not that."""
        saved = msgspec.msgpack.decode(data, type=_Saved)
        self.fold.restore(saved.fold)
        self.position = saved.position
        self._marks = Marks(saved.marks, saved.now_ns, saved.pruned_ns)

    def tick(self, sequence: int, data: bytes) -> Result:
        """Take a message of the partition's clock."""
        self.position = sequence
        try:
            _, events = wire.decode_frame(data)
        except MalformedFrame as error:
            return Result(Outcome.DEAD, stage="decode", error=str(error))
        for event in events:
            self._marks.advance(event.wall_ns)
        return self._observe(events, Result(Outcome.FOLDED))

    def frame(
        self, sequence: int, data: bytes, *, replayed: bool = False, plugin: str = ""
    ) -> Result:
        """Take the next frame; `replayed`: it comes from the dead letters, its number was seen.

        `plugin`: it is a letter of that plugin, the others have folded it.
        """
        self.position = sequence
        try:
            header = wire.decode_header(data)
        except MalformedFrame as error:
            loss = _loss(pb.FrameHeader(), "dead_letter", 1, self._marks.now_ns, sequence)
            return Result(Outcome.DEAD, [loss], stage="decode", error=str(error))
        result = Result(Outcome.FOLDED)
        if not replayed:
            arrival = self._marks.arrive(
                header.agent_id, header.epoch_ns, header.session, header.seq
            )
            if arrival.is_duplicate:
                return Result(Outcome.DUPLICATE)
            result.missing = arrival.missing
        return self._fold(sequence, header, data, result, plugin)

    def _fold(
        self, sequence: int, header: pb.FrameHeader, data: bytes, result: Result, plugin: str
    ) -> Result:
        time_ns = self._marks.now_ns
        events: Sequence[pb.Event] = ()
        try:
            _, events = wire.decode_frame(data, self._opener)
        except MalformedFrame as error:
            result.outcome, result.stage, result.error = Outcome.DEAD, "decode", str(error)
        except CannotOpen as error:
            result.outcome, result.stage, result.error = Outcome.DEAD, "open", str(error)
        if events:
            time_ns = events[0].wall_ns
        if result.missing:
            result.findings.append(_loss(header, "gap", result.missing, time_ns, self.partition))
        self._observe(events, result, plugin)
        if result.outcome is Outcome.DEAD:
            result.findings.append(_loss(header, "dead_letter", 1, time_ns, sequence))
        return result

    def _observe(self, events: Iterable[pb.Event], result: Result, plugin: str = "") -> Result:
        plugged = self.fold if isinstance(self.fold, Plugged) else None
        try:
            for event in events:
                if not plugin:
                    result.findings.extend(self.fold.observe(event))
                elif plugged:
                    result.findings.extend(plugged.observe_by(plugin, event))
        except Exception as error:  # noqa: BLE001  # this is the runner: a bug of an analyzer costs one frame
            _log.exception("partition %d: the fold failed", self.partition)
            result.outcome, result.stage = Outcome.DEAD, "fold"
            result.error = f"{type(error).__name__}: {error}"
        if plugged:
            result.plugins = plugged.plugins
            for failure in plugged.take_failures():
                result.failures.setdefault(failure.plugin, failure.error)
        return result


def _loss(header: pb.FrameHeader, reason: str, count: int, time_ns: int, place: int) -> Finding:
    about = ("loss", reason, header.agent_id, header.epoch_ns, header.session, header.seq, place)
    return Finding(
        id=ids.digest(*about, size=16),
        session=header.session,
        time_ns=time_ns,
        loss=LossRecord(stage="worker", reason=reason, count=count, unit="frames"),
    )
