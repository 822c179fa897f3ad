"""Findings and business metrics to an OTLP receiver.

Counts at its own ledger stage what the receiver said about spans and points: a receiver may accept
a request and reject some of it. Must not retry: the runner does, and a span sent twice is the same
bytes twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from agentsight_core.errors import Permanent, Retryable
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.telemetry.ledger import Stage
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agentsight_aggregator.exporters.otlp.metrics import StartTimes, metrics_request
from agentsight_aggregator.exporters.otlp.spans import MAX_REQUEST_BYTES, trace_requests
from agentsight_aggregator.exporters.otlp.transport import Signal, Transport, shown
from agentsight_aggregator.samples import SampleSource

_log = logging.getLogger(__name__)
_REJECTED = "rejected_by_receiver"
_REFUSED = "refused_by_receiver"


class OtlpTraceExporter:
    """Sends the spans among the findings; other kinds are not for traces and pass by.

    `stage` (unit "spans") is counted once a batch is settled: emitted = accepted by the receiver.
    """

    def __init__(
        self, transport: Transport, stage: Stage, *, max_request_bytes: int = MAX_REQUEST_BYTES
    ) -> None:
        self._transport = transport
        self._stage = stage
        self._max_request_bytes = max_request_bytes

    async def export(self, batch: Sequence[pb.Finding]) -> None:
        """Send `batch` in one or more requests.

        Raises Retryable as soon as one request may succeed later: all of `batch` is to come again.
        Raises Permanent when requests were refused for good, after the others have been sent.
        """
        accepted = rejected = refused = 0
        failure: Permanent | None = None
        for request, spans in trace_requests(batch, max_bytes=self._max_request_bytes):
            try:
                answer = await self._transport.send(Signal.TRACES, request)
                bad = min(spans, _rejected_spans(answer))
            except Permanent as error:
                failure = failure or error
                refused += spans
                continue
            rejected += bad
            accepted += spans - bad
        self._count(accepted, rejected, refused)
        if failure is not None:
            raise Permanent(f"{refused} spans refused: {failure}") from failure

    def _count(self, accepted: int, rejected: int, refused: int) -> None:
        self._stage.received += accepted + rejected + refused
        self._stage.emitted += accepted
        if rejected:
            self._stage.drop(_REJECTED, rejected)
        if refused:
            self._stage.drop(_REFUSED, refused)


class OtlpMetricsExporter:
    """Sends the business metrics of the owned partitions, all of them each time.

    `stage` (unit "points") counts data points. Points are cumulative: what one push could not
    deliver, the next one contains.
    """

    def __init__(
        self,
        transport: Transport,
        samples: SampleSource,
        stage: Stage,
        *,
        start_ns: StartTimes,
        resource: Mapping[str, str],
    ) -> None:
        self._transport = transport
        self._samples = samples
        self._stage = stage
        self._start_ns = start_ns
        self._resource = dict(resource)

    async def push(self, now_ns: int) -> None:
        """Send the samples as they are, stamped `now_ns` (Unix ns); nothing when there are none.

        Raises Retryable or Permanent.
        """
        samples = list(self._samples())
        if not samples:
            return
        request = metrics_request(
            samples, now_ns=now_ns, start_ns=self._start_ns, resource=self._resource
        )
        try:
            answer = await self._transport.send(Signal.METRICS, request)
            rejected = min(len(samples), _rejected_points(answer))
        except Permanent:
            self._count(0, _REFUSED, len(samples))
            raise
        self._count(len(samples) - rejected, _REJECTED, rejected)

    async def run(self, interval_s: float) -> None:
        """Push every `interval_s` until cancelled; failures are logged, the next push makes up."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.push(time.time_ns())
            except (Retryable, Permanent) as error:
                _log.warning("metrics were not pushed, the next push contains them: %s", error)

    def _count(self, accepted: int, reason: str, lost: int) -> None:
        self._stage.received += accepted + lost
        self._stage.emitted += accepted
        if lost:
            self._stage.drop(reason, lost)


def _rejected_spans(answer: bytes) -> int:
    """Return how many spans the receiver did not take; Permanent when it is no OTLP receiver."""
    try:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError as error:
        raise Permanent(f"the answer is no ExportTraceServiceResponse: {error}") from error
    return _noted(partial.rejected_spans, partial.error_message)


def _rejected_points(answer: bytes) -> int:
    try:
        partial = ExportMetricsServiceResponse.FromString(answer).partial_success
    except DecodeError as error:
        raise Permanent(f"the answer is no ExportMetricsServiceResponse: {error}") from error
    return _noted(partial.rejected_data_points, partial.error_message)


def _noted(rejected: int, message: str) -> int:
    # A message without rejections is a warning of the receiver (OTLP, "Partial Success").
    if rejected or message:
        _log.warning("the OTLP receiver rejected %d: %s", rejected, shown(message))
    return max(0, rejected)
