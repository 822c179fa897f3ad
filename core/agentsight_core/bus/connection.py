"""One connection to the bus.

Every operation raises Retryable or Permanent, never an error of the library. Must not retry: how
long to wait and when to give up is the caller's knowledge.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import nats
import nats.errors
from nats.aio.client import DEFAULT_INBOX_PREFIX
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, StreamConfig

from agentsight_core.bus import subjects
from agentsight_core.bus.choice import ServerOrder, Suspicion
from agentsight_core.bus.failures import NotAllowed, NotFound, translated
from agentsight_core.bus.reports import Reports
from agentsight_core.bus.tls import tls_followed
from agentsight_core.errors import ConfigError, Retryable, UnknownKey
from agentsight_core.runtime.tls import TlsFiles
from agentsight_core.sealing import GroupKeys

__all__ = [
    "Bus",
    "ConnectionSettings",
    "NotFound",
    "Outgoing",
    "StoredMessage",
    "connect",
    "translated",
]

_log = logging.getLogger(__name__)

# What a connection that was never one may take to end.
_ABANDON_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to reach the bus."""

    servers: tuple[str, ...]
    # Shown by the server's monitoring.
    name: str
    token: str = field(default="", repr=False)
    # Seed of an nkey: the server sees signatures made with it, never the seed.
    nkey_seed: str = field(default="", repr=False)
    tls: TlsFiles | None = None
    # TLS before the server's first word, so that nobody in between can suppress it.
    tls_first: bool = True
    # Where answers arrive; "": the library's own.
    inbox_prefix: str = ""
    # With them what is written is sealed, and what is sealed can be read.
    group_keys: GroupKeys | None = None
    request_seconds: float = 5.0
    connect_seconds: float = 20.0
    reconnect_wait_seconds: float = 0.2
    ping_seconds: float = 5.0
    # What may wait to be sent; a batch of findings has to fit.
    pending_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a stream holds it."""

    subject: str
    sequence: int
    data: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be stored."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def connect(settings: ConnectionSettings) -> AsyncIterator[Bus]:
    """Connect, and close at the end; raises Retryable when no server can be reached in time.

    ConfigError when there is none to reach.
    """
    if not settings.servers:
        raise ConfigError(
            "bus.servers: is empty, name the servers; only `agentsight up` brings one along"
        )
    # The library prints a traceback for each failed attempt; `_Reports` says it in one line.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(_is_of_interest)
    reports = Reports(settings.name)
    client = await _connected(settings, reports)
    try:
        async with tls_followed(client, settings.tls):
            yield Bus(client, settings.request_seconds, settings.group_keys, reports)
    finally:
        # What the server does not answer any more is no error of ours at the end.
        with contextlib.suppress(nats.errors.Error, OSError):
            await _close(client)


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Tell a report from one that asyncio makes at every end of a TLS connection of the library."""
    return "eof_received() has no effect" not in str(record.msg)


async def _connected(settings: ConnectionSettings, reports: Reports) -> nats.NATS:
    """Return a client that is connected; from now on it connects again by itself, for ever."""
    cause: Exception | None = None
    try:
        async with asyncio.timeout(settings.connect_seconds):
            while True:
                client = nats.NATS()
                try:
                    await _try(client, settings, reports)
                except (nats.errors.Error, OSError, TimeoutError) as error:
                    cause = error
                    await _abandon(client)
                except asyncio.CancelledError:
                    await _abandon(client)
                    raise
                else:
                    client.options |= {"allow_reconnect": True, "max_reconnect_attempts": -1}
                    return client
                await asyncio.sleep(settings.reconnect_wait_seconds)
    except TimeoutError as error:
        servers = ", ".join(settings.servers)
        reason = reports.reason or type(cause or error).__name__
        raise Retryable(f"connecting to {servers}: {reason}") from (cause or error)


async def _try(client: nats.NATS, settings: ConnectionSettings, reports: Reports) -> None:
    """Connect to the first server that can be reached; any error of it ends the attempt.

    The library would go on by itself, but waits for ever for the end of a connection whose TLS
    handshake has failed.
    """
    order = ServerOrder(settings.reconnect_wait_seconds)

    async def reconnected() -> None:
        order.arrived(client.connected_url.netloc)
        await reports.reconnected()

    tls = settings.tls.context() if settings.tls else None
    await client.connect(
        servers=list(settings.servers),
        name=settings.name,
        token=settings.token or None,
        nkeys_seed_str=settings.nkey_seed or None,
        tls=tls,
        tls_handshake_first=tls is not None and settings.tls_first,
        inbox_prefix=settings.inbox_prefix or DEFAULT_INBOX_PREFIX,
        connect_timeout=2,
        allow_reconnect=False,
        max_reconnect_attempts=max(
            1, int(settings.connect_seconds / settings.reconnect_wait_seconds)
        ),
        reconnect_time_wait=settings.reconnect_wait_seconds,
        ping_interval=settings.ping_seconds,
        max_outstanding_pings=2,
        pending_size=settings.pending_bytes,
        error_cb=reports.error,
        disconnected_cb=reports.disconnected,
        reconnected_cb=reconnected,
        reconnect_to_server_handler=order,
    )
    order.arrived(client.connected_url.netloc)


async def _abandon(client: nats.NATS) -> None:
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
        async with asyncio.timeout(_ABANDON_SECONDS):
            await _close(client)


async def _close(client: nats.NATS) -> None:
    """Close a client, whatever state it is in."""
    if not client.is_connected:
        # Nobody takes what is pending any more. nats-py 2.16 writes it nevertheless, and a TLS
        # connection that is gone answers with an AttributeError.
        client._pending_data_size = 0  # noqa: SLF001
    await client.close()


class Bus:
    """JetStream operations with translated errors."""

    def __init__(
        self,
        client: nats.NATS,
        request_seconds: float,
        group_keys: GroupKeys | None,
        reports: Reports,
    ) -> None:
        self._group_keys = group_keys
        self._reports = reports
        self._suspicion = Suspicion(self._change_server)
        self.client = client
        self.request_seconds = request_seconds
        self.js = client.jetstream(timeout=request_seconds)

    @property
    def max_payload_bytes(self) -> int:
        """The largest message, headers included, that the server takes."""
        return int(self.client.max_payload)

    @property
    def server(self) -> str:
        """The server that it is connected to, host:port."""
        return str(self.client.connected_url.netloc) if self.client.connected_url else "?"

    @property
    def server_version(self) -> tuple[int, int, int]:
        """The version of that server; (0, 0, 0) while it is not known, as between two servers."""
        version = self.client.connected_server_version
        return version.major, version.minor, version.patch

    @property
    def server_changes(self) -> int:
        """How often a server was left because it did not answer for the cluster."""
        return self._suspicion.changes

    @contextlib.contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        with self._suspicion.asking(), translated(doing):
            yield

    async def publish(self, message: Outgoing, timeout: float | None = None) -> int:  # noqa: ASYNC109  # handed on to the library, which keeps the answer's future
        """Store `message` and return its sequence."""
        message = self._sealed(message)
        try:
            with self._asking(f"publishing to {message.subject}"):
                ack = await self.js.publish(
                    message.subject,
                    message.data,
                    timeout=timeout or self.request_seconds,
                    headers=dict(message.headers) or None,
                )
        except Retryable as error:
            if self._reports.was_refused(message.subject):
                raise NotAllowed(f"{error}; the server refuses it to this credential") from error
            raise
        return int(ack.seq)

    def _sealed(self, message: Outgoing) -> Outgoing:
        keys = self._group_keys
        if keys is None or not message.data or not message.subject.startswith(subjects.SEALED):
            return message
        key_id, data = keys.seal(message.data, subjects.sealed_place(message.subject))
        return Outgoing(message.subject, data, {**message.headers, subjects.KEY: key_id})

    @property
    def seals(self) -> bool:
        """Whether content may not be stored in a form that can be read."""
        return self._group_keys is not None

    def content(self, message: StoredMessage | Msg) -> bytes:
        """Return what was written, also if it is sealed; raises CannotOpen without its key."""
        data = bytes(message.data or b"")
        key_id = (message.headers or {}).get(subjects.KEY)
        if not key_id:
            return data
        if self._group_keys is None:
            raise UnknownKey(
                f"it is sealed for key {key_id}, and no keys are configured here; see"
                " security.seal.group_file"
            )
        return self._group_keys.open(key_id, data, subjects.sealed_place(message.subject))

    async def append(
        self, messages: Sequence[Outgoing], subject_filter: str, expected_last: int
    ) -> int:
        """Store all `messages` or none, and return the sequence of the last one.

        Raises SequenceConflict, storing nothing, unless `expected_last` is the last sequence among
        the subjects of `subject_filter` (0: none). The server's limit is 1,000 messages.
        Source: NATS ADR-50, https://github.com/nats-io/nats-architecture-and-design
        """
        fence = {
            subjects.EXPECTED_LAST: str(expected_last),
            subjects.EXPECTED_LAST_SUBJECT: subject_filter,
        }
        if len(messages) == 1:
            only = messages[0]
            return await self.publish(Outgoing(only.subject, only.data, {**only.headers, **fence}))
        batch = uuid.uuid4().hex
        with translated(f"appending {len(messages)} messages to {subject_filter}"):
            for number, message in enumerate(map(self._sealed, messages[:-1]), start=1):
                headers = {
                    **message.headers,
                    **(fence if number == 1 else {}),
                    subjects.BATCH_ID: batch,
                    subjects.BATCH_SEQUENCE: str(number),
                }
                await self.client.publish(message.subject, message.data, headers=headers)
        last = messages[-1]
        commit = {
            **last.headers,
            subjects.BATCH_ID: batch,
            subjects.BATCH_SEQUENCE: str(len(messages)),
            subjects.BATCH_COMMIT: "1",
        }
        return await self.publish(Outgoing(last.subject, last.data, commit))

    async def last(self, stream: str, subject_filter: str) -> StoredMessage | None:
        """Return the last message on the subjects of `subject_filter`, as the leader knows it."""
        try:
            with self._asking(f"reading the last message of {subject_filter}"):
                found = await self.js.get_msg(stream, subject=subject_filter)
        except NotFound:
            return None
        return _stored(found)

    async def get(self, stream: str, sequence: int) -> StoredMessage:
        """Return the message with `sequence`; raises NotFound."""
        with self._asking(f"reading message {sequence} of {stream}"):
            return _stored(await self.js.get_msg(stream, seq=sequence))

    async def next(self, stream: str, sequence: int, subject_filter: str) -> StoredMessage | None:
        """Return the first message from `sequence` on that matches `subject_filter`."""
        request = {"seq": sequence, "next_by_subj": subject_filter}
        try:
            with self._asking(f"reading {stream} from {sequence} on"):
                found = await self.js.get_msg(
                    stream, seq=request["seq"], subject=subject_filter, next=True
                )
        except NotFound:
            return None
        return _stored(found)

    async def written_s(self, stream: str, sequence: int) -> float | None:
        """Return when the first message from `sequence` on was stored, Unix s; None without one."""
        try:
            with self._asking(f"reading {stream} from {sequence} on"):
                found = await self.js.get_msg(stream, seq=sequence, subject=">", next=True)
        except NotFound:
            return None
        return float(found.time.timestamp())

    async def stream_state(self, stream: str) -> StreamConfig:
        """Return the stream's info (`config`, `state`); raises NotFound."""
        with self._asking(f"looking up stream {stream}"):
            return await self.js.stream_info(stream)

    async def reset_consumer(self, stream: str, consumer: str, sequence: int) -> None:
        """Let `consumer` deliver from `sequence` on, in order, with delivery numbers from 1.

        0 stands for the first message that is not acknowledged. Needs nats-server 2.14 (ADR-60).
        """
        with self._asking(f"resetting consumer {consumer}"):
            await self.js.reset_consumer(stream, consumer, seq=sequence)

    async def consumer_info(self, stream: str, consumer: str) -> ConsumerConfig:
        """Return the consumer's info (`num_pending`, `delivered`, `ack_floor`)."""
        with self._asking(f"looking up consumer {consumer}"):
            return await self.js.consumer_info(stream, consumer)

    async def _change_server(self) -> None:
        if len(self.client.servers) > 1:
            with contextlib.suppress(Retryable), translated("changing the server"):
                await self.client.force_reconnect()


def _stored(found: nats.js.api.RawStreamMsg) -> StoredMessage:
    return StoredMessage(found.subject, found.seq, found.data or b"", found.headers or {})
