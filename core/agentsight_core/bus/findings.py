"""Feeds exporters from FINDINGS: each has a durable position of its own.

A sink that is away holds up its own exporter and nobody else. Must not know what an exporter does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import nats
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import NotFound, translated
from agentsight_core.bus.letters import DeadLetter, write_letter
from agentsight_core.bus.provisioning import provision_exporter
from agentsight_core.errors import CannotOpen, Permanent, Retryable
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.ports import Exporter
from agentsight_core.telemetry.ledger import Stage

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 2.0
_ACK = b"+ACK"
_IN_PROGRESS = b"+WPI"
# Well below the consumer's time to acknowledge (30 s).
_PROGRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """The rhythm of an exporter."""

    batch: int = 256
    # Jittered waits between attempts grow from the first to the last.
    first_wait_seconds: float = 0.2
    last_wait_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class _Item:
    message: Msg
    finding: Finding


class ExportRunner:
    """Runs one exporter: fetch, export, acknowledge, for ever.

    Findings arrive in the order of their partition and at least once: after a crash the last batch
    comes again, with the same ids and bytes.
    """

    def __init__(
        self,
        name: str,
        exporter: Exporter,
        bus: Bus,
        stage: Stage,
        settings: ExportSettings | None = None,
    ) -> None:
        self.name = name
        self._exporter = exporter
        self._bus = bus
        self._stage = stage
        self._settings = settings or ExportSettings()
        self._consumer = subjects.exporter_consumer(name)
        # Attempts that the sink was not ready for.
        self.retries = 0
        # Sequence up to which everything is exported and acknowledged.
        self._position = 0
        self._idle_fetches = 0
        self._progress = asyncio.Condition()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `run` return after the batch under way; one that its sink does not take stays."""
        self._stopping.set()

    async def run(self) -> None:
        """Export until `stop` or cancelled."""
        wait = self._settings.first_wait_seconds
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await provision_exporter(self._bus, self.name)
                await self._export_forever()
            except (Retryable, NotFound) as error:
                # Not found: in a group of aggregators the leader has still to make the streams.
                _log.warning("exporter %s: %s", self.name, error)
            if time.monotonic() - began > self._settings.last_wait_seconds:
                # It worked for a while: this is a new failure.
                wait = self._settings.first_wait_seconds
            await self._pause(wait)
            wait = min(wait * 2, self._settings.last_wait_seconds)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_jittered(seconds)):
                await self._stopping.wait()

    async def settle(self) -> None:
        """Return when every finding that is in FINDINGS at the call is exported."""
        wanted = (await self._bus.stream_state(subjects.FINDINGS)).state.last_seq
        # Findings may expire before they are exported: then nothing comes, twice.
        idle = self._idle_fetches + 2
        async with self._progress:
            await self._progress.wait_for(
                lambda: self._position >= wanted or self._idle_fetches >= idle
            )

    async def _export_forever(self) -> None:
        # What was fetched and not acknowledged comes again now, and first.
        await self._bus.reset_consumer(subjects.FINDINGS, self._consumer, 0)
        info = await self._bus.consumer_info(subjects.FINDINGS, self._consumer)
        self._position = info.ack_floor.stream_seq
        with translated(f"subscribing to {self._consumer}"):
            subscription = await self._bus.js.pull_subscribe_bind(
                self._consumer, stream=subjects.FINDINGS
            )
        try:
            while not self._stopping.is_set():
                messages = await self._fetch(subscription)
                if messages:
                    await self._export(messages)
                    self._position = messages[-1].metadata.sequence.stream
                else:
                    self._idle_fetches += 1
                async with self._progress:
                    self._progress.notify_all()
        finally:
            with contextlib.suppress(Retryable), translated("unsubscribing"):
                await subscription.unsubscribe()

    async def _fetch(
        self, subscription: nats.js.JetStreamContext.PullSubscription
    ) -> Sequence[Msg]:
        try:
            with translated(f"fetching from {self._consumer}"):
                return list(await subscription.fetch(self._settings.batch, timeout=_WAIT_SECONDS))
        except Retryable as error:
            if isinstance(error.__cause__, TimeoutError):
                return []
            raise

    async def _export(self, messages: Sequence[Msg]) -> None:
        self._stage.received += len(messages)
        self._stage.held += len(messages)
        try:
            items = [item for message in messages if (item := await self._parse(message))]
            async with _kept_alive(self._bus, messages):
                await self._deliver(items)
            await self._acknowledge(messages)
        except BaseException:
            # They come again.
            self._stage.received -= self._stage.held
            self._stage.held = 0
            raise
        self._stage.emitted += self._stage.held
        self._stage.held = 0

    async def _parse(self, message: Msg) -> _Item | None:
        try:
            return _Item(message, Finding.FromString(self._bus.content(message)))
        except (CannotOpen, DecodeError) as error:
            await self._bury(message, str(error), attempts=1)
            return None

    async def _deliver(self, items: Sequence[_Item]) -> None:
        """Export `items`; if the sink refuses them for good, find out which of them it refuses."""
        if not items:
            return
        try:
            await self._until_ready(items)
        except Permanent as error:
            if len(items) == 1:
                await self._bury(items[0].message, str(error), attempts=1)
                return
            middle = len(items) // 2
            await self._deliver(items[:middle])
            await self._deliver(items[middle:])

    async def _until_ready(self, items: Sequence[_Item]) -> None:
        wait = self._settings.first_wait_seconds
        while True:
            try:
                await self._exporter.export([item.finding for item in items])
            except Retryable as error:
                if self._stopping.is_set():
                    raise
                if wait == self._settings.first_wait_seconds:
                    _log.warning("exporter %s waits for its sink: %s", self.name, error)
                self.retries += 1
            else:
                return
            await self._pause(wait)
            wait = min(wait * 2, self._settings.last_wait_seconds)

    async def _bury(self, message: Msg, error: str, attempts: int) -> None:
        letter = DeadLetter(
            stage=f"export:{self.name}",
            error=error,
            attempts=attempts,
            time_ns=time.time_ns(),
            partition=int(message.subject.split(".")[1]),
            subject=message.subject,
            sequence=message.metadata.sequence.stream,
            data=message.data,
            key_id=(message.headers or {}).get(subjects.KEY, ""),
        )
        await write_letter(self._bus, letter)
        self._stage.held -= 1
        self._stage.drop("dead_letter")

    async def _acknowledge(self, messages: Sequence[Msg]) -> None:
        with translated(f"acknowledging to {self._consumer}"):
            for message in messages[:-1]:
                await self._bus.client.publish(message.reply, _ACK)
            await self._bus.client.request(
                messages[-1].reply, _ACK, timeout=self._bus.request_seconds
            )


@contextlib.asynccontextmanager
async def _kept_alive(bus: Bus, messages: Sequence[Msg]) -> AsyncIterator[None]:
    """Tell the server from time to time that `messages` are still being worked on."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            for message in messages:
                # If it does not arrive the message comes again, which is allowed.
                with contextlib.suppress(Retryable), translated("reporting progress"):
                    await bus.client.publish(message.reply, _IN_PROGRESS)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311  # spreads retries, hides nothing


async def run_exporter(
    name: str,
    exporter: Exporter,
    bus: Bus,
    stage: Stage,
    settings: ExportSettings | None = None,
) -> None:
    """Run `exporter` under `name` until cancelled."""
    await ExportRunner(name, exporter, bus, stage, settings).run()
