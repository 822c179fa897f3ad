"""Feeds one exporter from one partition of FINDINGS, from its position on.

The position is claimed, moved on after each batch that the sink has taken, and given back at the
end (ADR 0010). Must not know what an exporter does, nor who owns partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.bus.export_positions import ExportPosition
from agentsight_core.bus.failures import NotFound
from agentsight_core.bus.reading import read_page
from agentsight_core.bus.sinks import NotNow, Sink, jittered
from agentsight_core.errors import ConfigError, Retryable

_log = logging.getLogger(__name__)

# How often to look whether the former owner has given its position back.
_HAND_OVER_POLL_SECONDS = 0.1
# A finding that was written may not be on the replica yet that is asked.
_REPLICA_SECONDS = 0.02
_RELEASE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who exports: by default a process that is alone."""

    # Its id in the group.
    member: str = ""
    # Whether the partition is its own at this moment.
    owns: Callable[[], bool] = lambda: True
    # Whether a member is in the group, as far as is known: another one's batch may be under way.
    is_member: Callable[[str], bool] = lambda _: False


class PartitionExport:
    """Exports one partition to one sink from `run` until `stop`."""

    def __init__(
        self, sink: Sink, bus: Bus, partition: int, claimant: Claimant | None = None
    ) -> None:
        self._sink = sink
        self._bus = bus
        self._settings = sink.settings
        self._partition = partition
        self._filter = subjects.findings_filter(partition)
        self._claimant = claimant or Claimant()
        self._position = ExportPosition(bus, sink.name, partition, self._claimant.member)
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._sending = False
        self._holds = False
        # Up to here the sink has everything; up to there findings are known to be.
        self._done = 0
        self._written = 0
        # Number of the last finding that the sink has; 0: unknown.
        self._number = 0
        self._told = asyncio.Event()
        self._progress = asyncio.Condition()
        # Findings that the sink does not have, as of the last look.
        self.behind = 0

    def wrote(self, sequence: int, count: int) -> None:
        """Say that `count` more findings, up to `sequence`, are in the partition."""
        self._written = max(self._written, sequence)
        self.behind += count
        self._told.set()

    def stop(self) -> None:
        """Let `run` return: at once, or after the attempt that its sink is about to answer."""
        self._stopping = True
        if self._task is not None and not self._sending:
            self._task.cancel()

    async def run(self) -> None:
        """Export until `stop` or cancelled, then give the position back."""
        self._task = asyncio.current_task()
        wait = self._settings.first_wait_seconds
        try:
            while self._is_wanted():
                began = time.monotonic()
                try:
                    await self._take()
                    await self._export_forever()
                except NotNow as error:
                    _log.info("%s", error)
                except (Retryable, NotFound) as error:
                    # Not found: in a group of aggregators the leader has still to make the streams.
                    _log.warning("exporter %s: %s", self._sink.name, error)
                if not self._is_wanted():
                    return
                if time.monotonic() - began > self._settings.last_wait_seconds:
                    # It worked for a while: this is a new failure.
                    wait = self._settings.first_wait_seconds
                await asyncio.sleep(jittered(wait))
                wait = min(wait * 2, self._settings.last_wait_seconds)
        finally:
            # Nothing to interrupt any more.
            self._task = None
            await self._release()
            await self._notify()

    def _is_wanted(self) -> bool:
        return self._sink.is_on and not self._stopping

    async def settle(self) -> None:
        """Return when every finding that is in the partition at the call is exported."""
        last = await self._bus.last(subjects.FINDINGS, self._filter)
        if last is not None and last.sequence > self._done:
            self._written = max(self._written, last.sequence)
            self._told.set()
            async with self._progress:
                await self._progress.wait_for(lambda: self._done >= last.sequence)

    async def _take(self) -> None:
        """Claim the position, after a former owner that is alive has finished its batch."""
        until = time.monotonic() + self._settings.patience_seconds
        while (holder := await self._position.look()) and self._claimant.is_member(holder):
            if time.monotonic() > until:
                _log.warning(
                    "exporter %s, partition %d: %s does not give its position back, taking it",
                    *(self._sink.name, self._partition, holder),
                )
                break
            await asyncio.sleep(_HAND_OVER_POLL_SECONDS)
        if not self._claimant.owns():
            raise NotNow(f"exporter {self._sink.name}: partition {self._partition} is not owned")
        await self._position.claim()
        self._holds = True
        # After a failure more may be exported than could be recorded.
        if self._position.position > self._done:
            self._done, self._number = self._position.position, self._position.number
            # Another holder has exported meanwhile.
            await self._notify()
        last = await self._bus.last(subjects.FINDINGS, self._filter)
        self._written = max(self._written, last.sequence if last else 0)
        if self._written < self._done:
            await self._check_stream()

    async def _check_stream(self) -> None:
        """Tell findings that have expired from a stream that is not the one that was read."""
        end = (await self._bus.stream_state(subjects.FINDINGS)).state.last_seq
        if self._done > end:
            raise ConfigError(
                f"{subjects.FINDINGS} ends at {end}, but exporter {self._sink.name} is at "
                f"{self._done}: the stream was replaced; remove the streams and buckets of the "
                "bus together"
            )

    async def _export_forever(self) -> None:
        if self._position.position < self._done:
            await self._position.record(self._done, self._number)
        wait = _REPLICA_SECONDS
        while self._is_wanted():
            self._told.clear()
            page = await read_page(
                self._bus,
                subjects.FINDINGS,
                self._done + 1,
                self._filter,
                self._settings.batch,
                self._settings.batch_bytes,
            )
            self.behind = len(page.messages) + page.pending
            if page.messages:
                self._note_expired(page.messages[0])
                numbers = {
                    one.sequence: subjects.finding_number(one.headers) for one in page.messages
                }
                await self._sink.deliver(
                    page.messages, self._attempt, partial(self._settled, numbers)
                )
                await self._position.record(self._done, self._number)
                self.behind -= len(page.messages)
                wait = _REPLICA_SECONDS
                await self._notify()
                continue
            wait = min(wait * 2, self._settings.poll_seconds)
            with contextlib.suppress(TimeoutError):
                # What expired before it was exported never comes: no hurry for ever.
                is_due = self._written > self._done
                async with asyncio.timeout(wait if is_due else self._settings.poll_seconds):
                    await self._told.wait()

    @contextlib.contextmanager
    def _attempt(self) -> Iterator[None]:
        if not (self._is_wanted() and self._claimant.owns()):
            raise NotNow(f"exporter {self._sink.name} leaves partition {self._partition} to others")
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    def _note_expired(self, first: StoredMessage) -> None:
        """Count the findings that are missing before `first`."""
        number = subjects.finding_number(first.headers)
        if 0 < self._number < number - 1:
            self._sink.lose("expired", number - 1 - self._number)
            # Not once more if `first` is not delivered now.
            self._number = number - 1

    def _settled(self, numbers: Mapping[int, int], sequence: int) -> None:
        if sequence > self._done:
            self._done, self._number = sequence, numbers[sequence]

    async def _release(self) -> None:
        if not self._holds:
            return
        trouble: Exception | None = None
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                while trouble := await self._released():  # noqa: ASYNC110  # nobody tells when
                    await asyncio.sleep(_HAND_OVER_POLL_SECONDS)
                return
        except TimeoutError as error:
            trouble = trouble or error
        _log.warning(
            "exporter %s, partition %d: the position %d is not given back: %s",
            *(self._sink.name, self._partition, self._done, trouble),
        )

    async def _released(self) -> Retryable | None:
        """Give the position back; return why that may work a moment later."""
        try:
            await self._position.release(self._done, self._number)
        except Retryable as error:
            return error
        return None

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()
