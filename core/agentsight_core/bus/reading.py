"""Reads a stream without leaving anything behind: in pages, and as it grows.

Must not acknowledge or write. Both ways hold no more than one batch, however slow the reader is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.bus.failures import NotFound, translated
from agentsight_core.errors import Retryable

_log = logging.getLogger(__name__)

_BATCH = 64
_POLL_SECONDS = 0.5
# How long nothing may come before the consumer is looked at.
_SUSPECT_SECONDS = 3.0
# The server forgets the consumer of a reader that is gone, or stuck for so long.
_FORGET_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in the order of the stream, and where the next page begins (0 = this is the end)."""

    messages: Sequence[StoredMessage]
    next_sequence: int
    # How many more there are already.
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in the order of the stream, none when time passed and nothing came."""

    messages: Sequence[StoredMessage]
    # How many more there are already.
    pending: int


async def read_page(
    bus: Bus, stream: str, sequence: int, subject_filter: str, count: int, max_bytes: int
) -> Page:
    """Return up to `count` messages from `sequence` on that match `subject_filter`.

    The message that reaches `max_bytes` ends the page, so there is one at least. Any replica
    answers, which may be a moment behind. Source: NATS ADR-31 (batched direct get).
    """
    request = {
        "seq": max(1, sequence),
        "next_by_subj": subject_filter,
        "batch": count,
        "max_bytes": max_bytes,
    }
    messages: list[StoredMessage] = []
    inbox = bus.client.new_inbox()
    with translated(f"reading {stream} from {sequence} on"):
        subscription = await bus.client.subscribe(inbox)
        try:
            subject = f"$JS.API.DIRECT.GET.{stream}"
            await bus.client.publish(subject, json.dumps(request).encode(), reply=inbox)
            while True:
                answer = await subscription.next_msg(bus.request_seconds)
                headers = answer.headers or {}
                # A connection that breaks and comes back may lose some of them on the way.
                before = messages[-1].sequence if messages else 0
                if int(headers.get("Nats-Last-Sequence", before)) != before:
                    raise Retryable(f"reading {stream}: what follows {before} did not arrive")
                if "Nats-Sequence" not in headers:
                    break
                messages.append(_direct(answer))
        finally:
            await subscription.unsubscribe()
    status = headers.get("Status", "")
    if status not in ("204", "404"):
        raise Retryable(f"reading {stream} from {sequence} on: the server answers {status or '?'}")
    more = int(headers.get("Nats-Num-Pending", "0")) if messages else 0
    return Page(messages, messages[-1].sequence + 1 if more else 0, more)


async def follow(
    bus: Bus, stream: str, subject_filter: str, sequence: int = 0
) -> AsyncGenerator[Batch]:
    """Yield what is in `stream` from `sequence` on (0 = what comes now), then what comes, for ever.

    An empty batch says that time passed. A consumer that the server has lost is made anew where it
    was, so nothing is missed or comes twice; while the bus is away, time passes. Raises Retryable
    only if it is away at the call.
    """
    if not sequence:
        sequence = (await bus.stream_state(stream)).state.last_seq + 1
    while True:
        try:
            consumed = _consumed(bus, stream, subject_filter, sequence)
            async with contextlib.aclosing(consumed) as batches:
                async for batch in batches:
                    if batch.messages:
                        sequence = batch.messages[-1].sequence + 1
                    yield batch
        except Retryable as error:
            _log.info("reading goes on when the bus does: %s", error)
            yield Batch((), 0)
            await asyncio.sleep(_POLL_SECONDS)


async def _consumed(
    bus: Bus, stream: str, subject_filter: str, sequence: int
) -> AsyncGenerator[Batch]:
    """Yield batches from `sequence` on; end when the consumer cannot be relied on any more."""
    name = f"reader-{uuid.uuid4().hex}"
    config = ConsumerConfig(
        name=name,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=sequence,
        ack_policy=AckPolicy.NONE,
        filter_subject=subject_filter,
        inactive_threshold=_FORGET_SECONDS,
        mem_storage=True,
        num_replicas=1,
    )
    with translated(f"reading {stream}"):
        await bus.js.add_consumer(stream, config)
        subscription = await bus.js.pull_subscribe_bind(name, stream=stream)
    delivered, heard = 0, time.monotonic()
    try:
        while True:
            messages = await _fetch(subscription, stream)
            if messages:
                heard = time.monotonic()
                if messages[0].metadata.sequence.consumer != delivered + 1:
                    return
                delivered += len(messages)
                if messages[-1].metadata.sequence.consumer != delivered:
                    return
                yield Batch([_stored(item) for item in messages], messages[-1].metadata.num_pending)
                continue
            if time.monotonic() - heard > _SUSPECT_SECONDS:
                if not await _is_sound(bus, stream, name):
                    return
                heard = time.monotonic()
            yield Batch((), 0)
    finally:
        # The server forgets the consumer by itself if this does not reach it.
        with contextlib.suppress(Retryable, NotFound), translated("ending to read"):
            await subscription.unsubscribe()
            await bus.js.delete_consumer(stream, name)


async def _fetch(subscription: JetStreamContext.PullSubscription, stream: str) -> Sequence[Msg]:
    try:
        with translated(f"reading {stream}"):
            return list(await subscription.fetch(_BATCH, timeout=_POLL_SECONDS))
    except Retryable as error:
        if isinstance(error.__cause__, TimeoutError):
            return ()
        raise


async def _is_sound(bus: Bus, stream: str, name: str) -> bool:
    """Whether the consumer is there and has indeed nothing to deliver."""
    try:
        info = await bus.consumer_info(stream, name)
    except NotFound:
        return False
    return not info.num_pending


def _direct(answer: Msg) -> StoredMessage:
    headers = dict(answer.headers or {})
    return StoredMessage(
        headers.pop("Nats-Subject"), int(headers.pop("Nats-Sequence")), answer.data, headers
    )


def _stored(message: Msg) -> StoredMessage:
    sequence = message.metadata.sequence.stream
    return StoredMessage(message.subject, sequence, message.data, message.headers or {})
