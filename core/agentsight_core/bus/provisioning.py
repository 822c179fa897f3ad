"""Streams and buckets of the bus: made when missing, changed where the settings changed.

Safe to run any number of times, at once by several. Must not delete anything.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from time import monotonic

from nats.js.api import (
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
    StreamSource,
    SubjectTransform,
)

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import NotFound, translated
from agentsight_core.bus.generations import HISTORY
from agentsight_core.errors import ConfigError, Retryable

# Why that one: docs/adr/0002.
OLDEST_SERVER = (2, 15, 1)
# Room for configurations, for what the members report, and for positions.
_SMALL_BYTES = 16 << 20
# A server says every 10 s how much it can store (statsHBInterval of nats-server), and counts as one
# without storage when it has met another and not said it yet.
_PLACING_SECONDS = 30.0
_PLACING_PAUSE_SECONDS = 0.5
# JSClusterNoPeersErrF of nats-server; its text says why each server was passed over.
_NO_PEERS = 10005
_OFFLINE = "peer offline"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Bounds of one stream."""

    max_bytes: int
    max_age_seconds: float


@dataclass(frozen=True, slots=True)
class BusSettings:
    """What the bus is made of; `partitions` is fixed for the life of EVENTS."""

    partitions: int = 32
    replicas: int = 1
    events: StreamSettings = StreamSettings(8 << 30, 3 * 86_400)
    findings: StreamSettings = StreamSettings(6 << 30, 7 * 86_400)
    dlq: StreamSettings = StreamSettings(1 << 30, 30 * 86_400)
    checkpoint_max_bytes: int = 2 << 30
    sessions_max_bytes: int = 256 << 20
    # The server forgets message ids after it; the worker does not.
    duplicate_window_seconds: float = 120.0


class StreamUpdateError(ConfigError):
    """The server does not let a stream become so; it is there and can be worked with."""


async def provision(
    bus: Bus, settings: BusSettings, *, placing_seconds: float = _PLACING_SECONDS
) -> None:
    """Bring the bus to `settings`.

    Raises ConfigError for a server that is too old, for what cannot be changed any more, and for
    what no server has had room for in `placing_seconds`; StreamUpdateError, with all else done, if
    a stream that is there stays as it is; Retryable while servers are away.
    """
    if (0, 0, 0) < bus.server_version < OLDEST_SERVER:
        raise ConfigError(
            f"nats-server {_dotted(bus.server_version)} at {bus.server} is too old; allowed: "
            f"{_dotted(OLDEST_SERVER)} and newer"
        )
    refused: list[StreamUpdateError] = []
    for config in _streams(settings):
        try:
            await _ensure_stream(bus, config, placing_seconds)
        except StreamUpdateError as error:
            refused.append(error)
    if refused:
        raise refused[0]


async def partition_count(bus: Bus) -> int:
    """Return the number of partitions that EVENTS was made with; raises NotFound without it."""
    transform = (await bus.stream_state(subjects.EVENTS)).config.subject_transform
    found = re.search(r"partition\((\d+),", transform.dest if transform else "")
    if found is None:
        raise ConfigError(f"the stream {subjects.EVENTS} of this bus has no partitions of ours")
    return int(found[1])


def _streams(settings: BusSettings) -> list[StreamConfig]:
    events = _stream(subjects.EVENTS, ["ev.*.*.*", "tick.*"], settings, settings.events)
    events.duplicate_window = min(
        settings.duplicate_window_seconds, settings.events.max_age_seconds
    )
    # Discarding old would lose silently; refusing new makes the agents' spools grow.
    events.subject_transform = SubjectTransform(
        src="ev.*.*.*",
        dest=(
            f"events.{{{{partition({settings.partitions},3)}}}}"
            ".{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}"
        ),
    )
    findings = _stream(subjects.FINDINGS, ["findings.>"], settings, settings.findings)
    findings.allow_atomic = True
    # A sink that is away for longer than the retention must not stop the workers.
    findings.discard = DiscardPolicy.OLD
    dlq = _stream(subjects.DLQ, ["dlq.>"], settings, settings.dlq)
    dlq.discard = DiscardPolicy.OLD
    config = _bucket(subjects.CONFIG, settings, _SMALL_BYTES)
    config.max_msgs_per_subject = HISTORY
    status = _bucket(subjects.STATUS, settings, _SMALL_BYTES)
    status.allow_msg_ttl = True
    return [
        events,
        findings,
        dlq,
        _bucket(subjects.CHECKPOINTS, settings, settings.checkpoint_max_bytes),
        _sessions(settings),
        config,
        status,
        _bucket(subjects.EXPORTS, settings, _SMALL_BYTES),
    ]


def _stream(
    name: str, names: list[str], settings: BusSettings, bounds: StreamSettings
) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=names,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        max_bytes=bounds.max_bytes,
        max_age=bounds.max_age_seconds,
        num_replicas=settings.replicas,
        allow_direct=True,
        duplicate_window=2.0,
    )


def _bucket(name: str, settings: BusSettings, max_bytes: int) -> StreamConfig:
    """Return a key-value bucket (NATS ADR-8) that can also be written in atomic batches."""
    return StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        discard=DiscardPolicy.NEW,
        storage=StorageType.FILE,
        compression=StoreCompression.NONE,
        max_msgs_per_subject=1,
        max_bytes=max_bytes,
        num_replicas=settings.replicas,
        allow_direct=True,
        allow_atomic=True,
        allow_rollup_hdrs=True,
        deny_delete=True,
        duplicate_window=2.0,
    )


def _sessions(settings: BusSettings) -> StreamConfig:
    """Return the bucket of the newest summary of each session, which the server itself keeps.

    It copies from FINDINGS, in order and each message once, so nobody has to write it.
    """
    sessions = _bucket(subjects.SESSIONS, settings, settings.sessions_max_bytes)
    sessions.sources = [
        StreamSource(
            subjects.FINDINGS,
            subject_transforms=[
                SubjectTransform(
                    src="findings.*.*.session_summary",
                    dest=f"$KV.{subjects.SESSIONS}.{{{{wildcard(2)}}}}.{{{{wildcard(1)}}}}",
                )
            ],
        )
    ]
    # A session goes when its findings have gone; a full bucket must not stop the copying.
    sessions.max_age = settings.findings.max_age_seconds
    sessions.discard = DiscardPolicy.OLD
    return sessions


async def _ensure_stream(bus: Bus, wanted: StreamConfig, placing_seconds: float) -> None:
    try:
        found = (await bus.stream_state(wanted.name)).config
    except NotFound:
        doing, call, refusal = f"creating stream {wanted.name}", bus.js.add_stream, ConfigError
    else:
        _check_partitions(found, wanted)
        if not _differs(found, wanted):
            return
        doing, call, refusal = (
            f"updating stream {wanted.name}",
            bus.js.update_stream,
            StreamUpdateError,
        )
    give_up_at = monotonic() + placing_seconds
    while True:
        try:
            with translated(doing):
                await call(wanted)
        except Retryable as error:
            if not _may_be_placed_soon(error) or monotonic() > give_up_at:
                raise _judged(error, refusal) from error
        else:
            return
        await asyncio.sleep(_PLACING_PAUSE_SECONDS)


def _differs(found: StreamConfig, wanted: StreamConfig) -> bool:
    """Whether `found` lacks anything that `wanted` names.

    An update takes the servers a vote, and is refused while one of them is away; a leader that has
    just been elected should not wait for it.
    """
    have = found.as_dict()
    return any(have.get(key) != value for key, value in wanted.as_dict().items() if value)


def _check_partitions(found: StreamConfig, wanted: StreamConfig) -> None:
    if wanted.subject_transform and found.subject_transform != wanted.subject_transform:
        raise ConfigError(
            f"bus.partitions does not fit the stream {wanted.name}, which was made with "
            f"{found.subject_transform.dest if found.subject_transform else 'no partitions'}; the "
            "number of partitions is fixed for the life of the stream: restore it, or remove the "
            "bus's data"
        )


def _may_be_placed_soon(error: Retryable) -> bool:
    return getattr(error.__cause__, "err_code", None) == _NO_PEERS and _OFFLINE not in str(error)


def _judged(error: Retryable, refusal: type[ConfigError]) -> Exception:
    """Return `error`, as a `refusal` of the configuration if the server will never do it."""
    # 400 and 500 are the server's answers to a configuration it does not accept.
    refused = getattr(error.__cause__, "code", None) in (400, 500)
    if not refused or _OFFLINE in str(error):
        return error
    return refusal(f"{error}; the bus settings do not fit this server")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
