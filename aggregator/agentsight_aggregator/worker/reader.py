"""Reads a partition of EVENTS in order, without a gap, from any place on.

The durable consumer keeps what is acknowledged for the operator to see; the place to go on from is
the checkpoint's. Deliveries to this consumer are numbered by the server: a missing number means
that somebody else (a former owner) took a message, and the reader starts over behind its last one.

Must not decode frames.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

import nats
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import translated
from agentsight_core.errors import ConfigError, Retryable
from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

_ACK = b"+ACK"
_PENDING_BYTES = 1 << 30
_PENDING_MESSAGES = 100_000


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How to fetch."""

    batch: int = 64
    # How long a fetch waits for the first message.
    wait_seconds: float = 2.0
    # After so long without a message the reader asks whether there should have been one.
    stall_seconds: float = 10.0


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
        self._consumer = subjects.partition_consumer(partition)
        self._tick_subject = subjects.tick_subject(partition)
        self._subscription: nats.js.JetStreamContext.PullSubscription | None = None
        self._next_delivery = 1
        self._heard = 0.0
        # Sequence of the last message delivered.
        self.position = 0
        # How often it had to start over.
        self.restarts = 0

    async def start(self, position: int) -> None:
        """Deliver from behind `position` on; raises ConfigError if the stream ends before it."""
        state = (await self._bus.stream_state(subjects.EVENTS)).state
        if position > state.last_seq:
            raise ConfigError(
                f"{subjects.EVENTS} ends at {state.last_seq}, but {position} has been read: the "
                "stream was replaced; remove the streams and buckets of the bus together"
            )
        self.position = position
        await self._restart()

    async def _restart(self) -> None:
        await self.stop()
        await self._bus.reset_consumer(subjects.EVENTS, self._consumer, self.position + 1)
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
        if subscription is not None:
            # A connection that is gone has no subscription either.
            with contextlib.suppress(Retryable), translated("unsubscribing"):
                await subscription.unsubscribe()

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
                _log.warning("%s: somebody else reads it too, starting over", self._consumer)
                self.restarts += 1
                await self._restart()
                break
            self._next_delivery += 1
            # Delivered again because no checkpoint has covered it yet.
            if numbers.stream > self.position:
                self.position = numbers.stream
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

    async def acknowledge(self, replies: Sequence[str]) -> None:
        """Tell the server that the messages behind `replies` need not come again."""
        if not replies:
            return
        with translated(f"acknowledging to {self._consumer}"):
            for reply in replies[:-1]:
                await self._bus.client.publish(reply, _ACK)
            # The answer says that the server has this one, and so those before it.
            await self._bus.client.request(replies[-1], _ACK, timeout=self._bus.request_seconds)


def _delivery(message: Msg) -> Delivery:
    return Delivery(
        sequence=message.metadata.sequence.stream,
        subject=message.subject,
        data=message.data,
        replayed=bool(message.headers and subjects.REPLAYED in message.headers),
        plugin=(message.headers or {}).get(subjects.REPLAYED_FOR, ""),
        reply=message.reply,
    )
