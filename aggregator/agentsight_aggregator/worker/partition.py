"""The worker of one partition: take it, replay to where it was answered, then fold, write, save.

The order within a step makes any crash harmless: dead letters, then findings, then (sometimes) the
checkpoint.

Must not decide who owns the partition.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.bus.failures import SequenceConflict
from agentsight_core.bus.letters import DeadLetter, write_letter
from agentsight_core.errors import AgentSightError, Permanent
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.ports import Analyzer
from agentsight_core.sealing import Opener
from agentsight_core.telemetry.ledger import Ledger

from agentsight_aggregator.worker.answers import Answer, Answers, Fenced
from agentsight_aggregator.worker.checkpoints import CheckpointStore, CheckpointTooLarge
from agentsight_aggregator.worker.expired import tell_expired
from agentsight_aggregator.worker.folding import Folding, Outcome, Result
from agentsight_aggregator.worker.reader import Delivery, PartitionReader, ReaderSettings

_log = logging.getLogger(__name__)

# A mark that no finding's place reaches: all findings of an input.
_ALL = 1 << 62
# A successor repeats so many messages at most.
_MAX_UNSAVED = 10_000


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The rhythm of a worker."""

    reader: ReaderSettings = field(default_factory=ReaderSettings)
    checkpoint_seconds: float = 5.0
    # When nothing but the clock has moved.
    idle_checkpoint_seconds: float = 20.0
    tick_seconds: float = 5.0
    # What the partition's clock says beside the time.
    tick: pb.Tick = field(default_factory=pb.Tick)
    # Opens sealed frames; None: none are expected.
    opener: Opener | None = None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a worker is behind its log."""

    # Messages that wait behind the last one that was read, as the server said with it.
    messages: int
    # When the last one was written, Unix s. The partition's clock writes one every `tick_seconds`.
    read_until_s: float


class PartitionWorker:
    """Works on one partition from `run` until `stop`, a refusal, or a failure of the bus."""

    def __init__(
        self,
        partition: int,
        make_fold: Callable[[int], Analyzer],
        bus: Bus,
        ledger: Ledger,
        settings: WorkerSettings,
        wrote: Callable[[int, int, int], None] = lambda *_: None,
    ) -> None:
        self.partition = partition
        self._make_fold = make_fold
        self._bus = bus
        self._settings = settings
        # Told the partition, its last finding's sequence, and how many are new.
        self._wrote = wrote
        self._ledger = ledger
        self._frames = ledger.stage("worker", "frames")
        self._findings = ledger.stage("findings", "findings")
        # Up to here this process has counted frames; a replay does not count again.
        self._counted = 0
        self._stopping = asyncio.Event()
        self._fetching: asyncio.Task[list[Delivery]] | None = None
        self._changed = asyncio.Event()
        self._stepped = asyncio.Condition()
        self._folding: Folding | None = None
        self._answers = Answers(bus, partition, "")
        self._checkpoints = CheckpointStore(bus, partition)
        self._reader = PartitionReader(bus, partition, settings.reader)
        self._unsaved = 0
        self._saved_at = 0.0
        self._saved_position = 0
        self._saw_frames = False

    @property
    def fold(self) -> Analyzer | None:
        """The fold while the partition is owned and caught up with its answers, else None."""
        folding = self._folding
        caught_up = folding is not None and folding.position >= self._answers.place[0]
        return folding.fold if folding is not None and caught_up else None

    @property
    def position(self) -> int:
        """Sequence in EVENTS of the last message whose findings are written."""
        return self._folding.position if self._folding else 0

    @property
    def lag(self) -> Lag:
        """How far behind the log the worker is."""
        return Lag(self._reader.pending, self._reader.written_s)

    def stop(self) -> None:
        """Let `run` save a checkpoint and return, now if it only waits for messages."""
        self._stopping.set()
        if self._fetching is not None:
            self._fetching.cancel()

    def apply(self, settings: WorkerSettings) -> None:
        """Go on in another rhythm; a new tick goes into the log at once. How to read stays."""
        self._settings = dataclasses.replace(settings, reader=self._settings.reader)
        self._changed.set()

    async def run(self) -> None:
        """Take the partition and work on it until `stop`.

        Raises Fenced when another owner has written, Retryable when the bus fails. Either way the
        state is dropped, and running again takes the partition anew.
        """
        try:
            folding = await self._take()
            async with contextlib.AsyncExitStack() as stack:
                ticking = asyncio.create_task(self._tick_forever())
                stack.callback(ticking.cancel)
                while not self._stopping.is_set():
                    await self._step(folding)
                await self._save(folding)
        finally:
            self._folding = None
            await self._reader.stop()

    async def _take(self) -> Folding:
        """Restore the last checkpoint and learn what is answered since."""
        folding = self._new_folding()
        state = await self._checkpoints.load()
        if state is not None:
            folding = self._restored(folding, state)
        self._answers = Answers(self._bus, self.partition, uuid.uuid4().hex)
        await self._answers.read_last()
        # What a checkpoint covers is answered, even if the findings have expired since.
        self._answers.place = max(self._answers.place, (folding.position, _ALL))
        await self._reader.start(folding.position)
        # Without a checkpoint, what is answered was folded by somebody.
        folded = folding.position or self._answers.place[0]
        if folded:
            await tell_expired(self._bus, self.partition, folded, self._reader.first_kept)
        self._unsaved = 0
        self._saved_at, self._saved_position = time.monotonic(), folding.position
        if state is None:
            # With what settings the fold begins is part of its state: a successor that repeats it
            # must begin with the same ones.
            await self._save(folding)
        self._folding = folding
        return folding

    def _restored(self, folding: Folding, state: bytes) -> Folding:
        try:
            folding.restore(state)
        except (msgspec.DecodeError, Permanent) as error:
            _log.error(
                "partition %d: the checkpoint is of another version: %s", self.partition, error
            )
            return self._new_folding()
        return folding

    def _new_folding(self) -> Folding:
        return Folding(self.partition, self._make_fold(self.partition), self._settings.opener)

    async def _step(self, folding: Folding) -> None:
        deliveries = await self._fetch()
        results: list[tuple[Delivery, Result]] = []
        for delivery in deliveries:
            results.append((delivery, self._fold_one(folding, delivery)))
            # Frames are large: let the other partitions and the connection have their turn.
            await asyncio.sleep(0)
        await self._bury(results)
        answers = [
            Answer((delivery.sequence, number), finding)
            for delivery, result in results
            for number, finding in enumerate(result.findings, start=1)
        ]
        too_large = self._answers.too_large
        written = await self._answers.append(answers)
        if written:
            self._wrote(self.partition, self._answers.last_sequence, written)
        self._findings.received += written
        self._findings.emitted += written - (self._answers.too_large - too_large)
        if self._answers.too_large > too_large:
            self._findings.drop("too_large", self._answers.too_large - too_large)
        self._count(results)
        self._unsaved += len(deliveries)
        if self._is_save_due(folding):
            await self._save(folding)
        async with self._stepped:
            self._stepped.notify_all()

    async def _fetch(self) -> list[Delivery]:
        """Return the next messages; none when there are none for a while, or at `stop`."""
        self._fetching = asyncio.create_task(self._reader.fetch())
        try:
            return await self._fetching
        except asyncio.CancelledError:
            # It was the fetch that `stop` cancelled, or else this task.
            task = asyncio.current_task()
            if not self._stopping.is_set() or (task is not None and task.cancelling()):
                raise
            return []
        finally:
            self._fetching = None

    def _fold_one(self, folding: Folding, delivery: Delivery) -> Result:
        if self._reader.is_tick(delivery):
            return folding.tick(delivery.sequence, delivery.data)
        self._saw_frames = True
        return folding.frame(
            delivery.sequence, delivery.data, replayed=delivery.replayed, plugin=delivery.plugin
        )

    async def _bury(self, results: list[tuple[Delivery, Result]]) -> None:
        """Write the dead letters that are not covered by what is answered already."""
        for delivery, result in results:
            if delivery.sequence < self._answers.place[0]:
                continue
            if result.outcome is Outcome.DEAD:
                await self._bury_one(delivery, result.stage, result.error)
            for plugin, error in result.failures.items():
                await self._bury_one(delivery, f"plugin:{plugin}", error)

    async def _bury_one(self, delivery: Delivery, stage: str, error: str) -> None:
        letter = DeadLetter(
            stage=stage,
            error=error,
            attempts=1,
            time_ns=time.time_ns(),
            partition=self.partition,
            subject=delivery.subject,
            sequence=delivery.sequence,
            data=delivery.data,
        )
        await write_letter(self._bus, letter)

    def _count(self, results: list[tuple[Delivery, Result]]) -> None:
        for delivery, result in results:
            if delivery.sequence <= self._counted or self._reader.is_tick(delivery):
                continue
            self._counted = delivery.sequence
            self._frames.received += 1 + result.missing
            if result.missing:
                self._frames.drop("gap", result.missing)
            if result.outcome is Outcome.FOLDED:
                self._frames.emitted += 1
            elif result.outcome is Outcome.DUPLICATE:
                self._frames.filter("duplicate")
            else:
                self._frames.drop("dead_letter")
            self._count_plugins(result)

    def _count_plugins(self, result: Result) -> None:
        """Count the frame at the stage of every plugin that takes part."""
        for name, is_on in result.plugins.items():
            stage = self._ledger.stage(f"plugin.{name}", "frames")
            stage.received += 1
            if name in result.failures:
                stage.drop("failed")
            elif is_on:
                stage.emitted += 1
            else:
                stage.filter("switched_off")

    # ---- checkpoint ----

    def _is_save_due(self, folding: Folding) -> bool:
        if folding.position == self._saved_position:
            return False
        settings = self._settings
        seconds = (
            settings.checkpoint_seconds if self._saw_frames else settings.idle_checkpoint_seconds
        )
        return time.monotonic() - self._saved_at >= seconds or self._unsaved >= _MAX_UNSAVED

    async def _save(self, folding: Folding) -> None:
        try:
            await self._checkpoints.save(folding.snapshot(), folding.position)
        except SequenceConflict as error:
            raise Fenced(f"partition {self.partition} has another owner: {error}") from error
        except CheckpointTooLarge as error:
            # Nothing is lost by it: a restart only replays more.
            _log.error("%s", error)
        self._saved_at, self._saved_position = time.monotonic(), folding.position
        self._saw_frames = False
        self._unsaved = 0

    # ---- time ----

    async def _tick_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.tick_seconds):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self.tick()
            except AgentSightError as error:
                # The next one tells the time as well.
                _log.info("partition %d: no tick: %s", self.partition, error)

    async def tick(self) -> int:
        """Put the present time into the partition's log; return its place there."""
        now_ns = time.time_ns()
        header = pb.FrameHeader(agent_id="tick", epoch_ns=now_ns, seq=1, event_count=1)
        event = pb.Event(wall_ns=now_ns, tick=self._settings.tick)
        frame = wire.encode_frame(header, wire.encode_events([event]))
        return await self._bus.publish(Outgoing(subjects.tick_subject(self.partition), frame))

    async def reached(self, sequence: int) -> None:
        """Return when everything up to `sequence` in EVENTS is answered."""
        async with self._stepped:
            await self._stepped.wait_for(lambda: self.position >= sequence)
