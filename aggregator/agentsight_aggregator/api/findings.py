"""The service Findings: what is kept in pages, what comes as a stream in event time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterator

import grpc
import grpc.aio
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.bus.reading import follow
from agentsight_core.errors import ConfigError, Retryable
from agentsight_core.merging import Merge, MergeSettings
from agentsight_core.pb import api_pb2 as api
from agentsight_core.pb.findings_pb2 import Finding

from agentsight_aggregator.api.answering import answered, send
from agentsight_aggregator.api.kept import FindingsFilter, finding_of, partition_of
from agentsight_aggregator.api.pages import MAX_BYTES, PageRequest, list_page

_LATENESS_MS = 500
_MAX_LATENESS_MS = 10_000
_NS_PER_MS = 1_000_000


class FindingsService:
    """Answers from the bus alone; `stopping` ends its streams."""

    def __init__(self, bus: Bus, partitions: int, stopping: asyncio.Event) -> None:
        self._bus = bus
        self._partitions = partitions
        self._stopping = stopping
        self._streams: set[asyncio.Task[None]] = set()

    async def ended(self, seconds: float) -> None:
        """Wait until the streams have let go of the bus, `seconds` at most."""
        if self._streams:
            await asyncio.wait(self._streams, timeout=seconds)

    @answered
    async def QueryFindings(  # noqa: N802  # gRPC's name
        self, request: api.QueryFindingsRequest, _context: grpc.aio.ServicerContext
    ) -> api.QueryFindingsResponse:
        """Return a page of what is kept."""
        wanted = FindingsFilter.of(request.filter)
        page_request = PageRequest(request.page_size, request.page_token)

        def pick(message: StoredMessage) -> Finding | None:
            finding = finding_of(self._bus, message)
            return finding if wanted.takes(finding) else None

        page = await list_page(self._bus, subjects.FINDINGS, wanted.subject, page_request, pick)
        return api.QueryFindingsResponse(findings=page.items, next_page_token=page.next_token)

    async def StreamFindings(  # noqa: N802  # gRPC's name
        self, request: api.StreamFindingsRequest, context: grpc.aio.ServicerContext
    ) -> None:
        """Send findings in the order of event time until the client or this server goes."""
        stream = asyncio.ensure_future(send(self._stream(request), context))
        self._streams.add(stream)
        stream.add_done_callback(self._streams.discard)
        await stream

    async def _stream(
        self, request: api.StreamFindingsRequest
    ) -> AsyncGenerator[api.StreamFindingsResponse]:
        # The next batch is read when the client has taken the last one: a slow one costs no more.
        wanted = FindingsFilter.of(request.filter)
        merge = Merge[Finding](_merge_settings(request), self._sources(wanted))
        start = 1 if request.from_beginning else 0
        batches = follow(self._bus, subjects.FINDINGS, wanted.subject, start)
        async with contextlib.aclosing(batches):
            async for batch in batches:
                for message in batch.messages:
                    finding = finding_of(self._bus, message)
                    if wanted.takes(finding):
                        partition = partition_of(message)
                        merge.add(partition, finding.time_ns, finding, len(message.data))
                if not batch.pending:
                    merge.advance(time.time_ns())
                for part in _parts(merge.take()):
                    yield api.StreamFindingsResponse(findings=part, order=_account(merge))
                if self._stopping.is_set():
                    raise Retryable("this server stops: connect again, or to another one")

    def _sources(self, wanted: FindingsFilter) -> range:
        # One session is in one partition.
        return range(0 if wanted.session else self._partitions)


def _merge_settings(request: api.StreamFindingsRequest) -> MergeSettings:
    if request.lateness_ms > _MAX_LATENESS_MS:
        raise ConfigError(
            f"lateness_ms {request.lateness_ms} is too large; allowed: 0 to {_MAX_LATENESS_MS}"
        )
    return MergeSettings((request.lateness_ms or _LATENESS_MS) * _NS_PER_MS)


def _parts(findings: list[Finding]) -> Iterator[list[Finding]]:
    """Cut `findings` into parts that fit into a message."""
    part: list[Finding] = []
    size = 0
    for finding in findings:
        cost = finding.ByteSize()
        if part and size + cost > MAX_BYTES:
            yield part
            part, size = [], 0
        part.append(finding)
        size += cost
    if part:
        yield part


def _account(merge: Merge[Finding]) -> api.MergeAccount:
    account = merge.account
    return api.MergeAccount(
        received=account.received,
        late=account.late,
        max_late_ns=account.max_late_ns,
        early=account.early,
    )
