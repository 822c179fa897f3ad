"""Reads a partition of EVENTS in order, without a gap, from any place on.

Each reader has a consumer of its own, under a name that nobody else has: a former owner that does
not know yet that it is one cannot take messages from it, nor move its place. The place to go on
from is the checkpoint's, so the consumer keeps none, and if it dies with its server a new one is
made. Deliveries are numbered by the server: where a number is missing the reader starts over.

Must not decode frames.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, time

import nats
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import translated
from agentsight_core.errors import ConfigError, Permanent, Retryable
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

_log = logging.getLogger(__name__)

# After so long without a reader the server removes the consumer.
_INACTIVE_SECONDS = 30.0
_PENDING_BYTES = 1 << 30
_PENDING_MESSAGES = 100_000


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How to fetch."""

    batch: int = 64
    # How long a fetch waits for the first message.
    wait_seconds: float = 2.0
    # After so long without a message the reader asks whether there should have been one.
    stall_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of the partition."""

    sequence: int
    subject: str
    data: bytes
    replayed: bool
    # Replayed for this plugin alone.
    plugin: str
    # Where the acknowledgement goes.
    reply: str


class PartitionReader:
    """Delivers the messages of one partition, each once, in the order of the stream."""

    def __init__(self, bus: Bus, partition: int, settings: ReaderSettings) -> None:
        self._bus = bus
        self._settings = settings
        self._partition = partition
        self._consumer = ""
        self._tick_subject = subjects.tick_subject(partition)
        self._subscription: nats.js.JetStreamContext.PullSubscription | None = None
        self._next_delivery = 1
        self._heard = 0.0
        # Sequence of the last message delivered.
        self.position = 0
        # Sequence of the first message that the stream had when reading began.
        self.first_kept = 1
        # How often it had to start over.
        self.restarts = 0
        # When that message was written into the stream, Unix s; at first, when reading began.
        self.written_s = time()
        # How many more the stream had then.
        self.pending = 0

    async def start(self, position: int) -> None:
        """Deliver from behind `position` on; raises ConfigError if the stream ends before it."""
        state = (await self._bus.stream_state(subjects.EVENTS)).state
        if position > state.last_seq:
            raise ConfigError(
                f"{subjects.EVENTS} ends at {state.last_seq}, but {position} has been read: the "
                "stream was replaced; remove the streams and buckets of the bus together"
            )
        self.position = position
        self.first_kept = state.first_seq
        await self._restart()

    async def _restart(self) -> None:
        await self.stop()
        self._consumer = f"{subjects.partition_consumer(self._partition)}-{uuid.uuid4().hex[:12]}"
        config = ConsumerConfig(
            name=self._consumer,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self.position + 1,
            ack_policy=AckPolicy.NONE,
            filter_subjects=subjects.partition_filters(self._partition),
            inactive_threshold=_INACTIVE_SECONDS,
            num_replicas=1,
            mem_storage=True,
        )
        with translated(f"creating consumer {self._consumer}"):
            await self._bus.js.add_consumer(subjects.EVENTS, config)
        with translated(f"subscribing to {self._consumer}"):
            self._subscription = await self._bus.js.pull_subscribe_bind(
                self._consumer,
                stream=subjects.EVENTS,
                pending_msgs_limit=_PENDING_MESSAGES,
                pending_bytes_limit=_PENDING_BYTES,
            )
        self._next_delivery = 1
        self._heard = monotonic()

    async def stop(self) -> None:
        """Ask for no more."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        # A connection that is gone has no subscription either, and the server removes the consumer.
        with contextlib.suppress(Retryable, Permanent), translated("unsubscribing"):
            await subscription.unsubscribe()
            await self._bus.js.delete_consumer(subjects.EVENTS, self._consumer)

    async def fetch(self) -> list[Delivery]:
        """Return the next messages; none when there are none for a while."""
        if self._subscription is None:
            await self._restart()
        assert self._subscription is not None
        try:
            with translated(f"fetching from {self._consumer}"):
                messages = await self._subscription.fetch(
                    self._settings.batch, timeout=self._settings.wait_seconds
                )
        except Retryable as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise
            messages = []
        if messages:
            self._heard = monotonic()
        elif monotonic() - self._heard > self._settings.stall_seconds:
            await self._look_for_stall()
        return await self._in_order(messages)

    async def _in_order(self, messages: Sequence[Msg]) -> list[Delivery]:
        accepted = []
        for message in messages:
            numbers = message.metadata.sequence
            if numbers.consumer != self._next_delivery:
                _log.warning("%s: a message did not arrive, starting over", self._consumer)
                self.restarts += 1
                await self._restart()
                break
            self._next_delivery += 1
            self.position = numbers.stream
            self.written_s = message.metadata.timestamp.timestamp()
            self.pending = message.metadata.num_pending
            accepted.append(_delivery(message))
        return accepted

    async def _look_for_stall(self) -> None:
        """Start over if the server has messages that do not arrive.

        Pull consumers have been seen to stop after a change of leader (nats.go issue 2063).
        """
        info = await self._bus.consumer_info(subjects.EVENTS, self._consumer)
        self._heard = monotonic()
        if info.num_pending or info.delivered.stream_seq > self.position:
            _log.warning("%s: messages wait and none arrives, starting over", self._consumer)
            self.restarts += 1
            await self._restart()

    def is_tick(self, delivery: Delivery) -> bool:
        """Whether `delivery` is of the partition's clock."""
        return delivery.subject == self._tick_subject


def _delivery(message: Msg) -> Delivery:
    return Delivery(
        sequence=message.metadata.sequence.stream,
        subject=message.subject,
        data=message.data,
        replayed=bool(message.headers and subjects.REPLAYED in message.headers),
        plugin=(message.headers or {}).get(subjects.REPLAYED_FOR, ""),
        reply=message.reply,
    )
