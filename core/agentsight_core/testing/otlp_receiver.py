"""Real OTLP receivers on loopback: the official service on grpcio, and HTTP with protobuf bodies.

They keep what they were sent and answer as told. For tests and benchmarks only.
"""

from __future__ import annotations

import gzip
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver says to one request; the default is full success."""

    grpc_code: grpc.StatusCode | None = None
    http_status: int = 200
    message: str = ""
    retry_after_s: int | None = None
    rejected: int = 0


@dataclass(slots=True)
class Received:
    """What a receiver was sent, and what it is to answer next (then: success)."""

    port: int = 0
    # Serialized requests, deterministic.
    traces: list[bytes] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: deque[Answer] = field(default_factory=deque)

    def next_answer(self) -> Answer:
        """Return the answer to the request that has just come."""
        return self.answers.popleft() if self.answers else Answer()

    def spans(self) -> list[Any]:
        """Return all spans of all requests, as opentelemetry.proto.trace.v1.Span."""
        return [
            span
            for data in self.traces
            for resource in trace_pb.ExportTraceServiceRequest.FromString(data).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def _trace_response(answer: Answer) -> trace_pb.ExportTraceServiceResponse:
    response = trace_pb.ExportTraceServiceResponse()
    if answer.rejected:
        response.partial_success.rejected_spans = answer.rejected
        response.partial_success.error_message = answer.message
    return response


def _metrics_response(answer: Answer) -> metrics_pb.ExportMetricsServiceResponse:
    response = metrics_pb.ExportMetricsServiceResponse()
    if answer.rejected:
        response.partial_success.rejected_data_points = answer.rejected
        response.partial_success.error_message = answer.message
    return response


async def _abort_if_told(context: grpc.aio.ServicerContext, answer: Answer) -> None:
    if answer.grpc_code is None:
        return
    metadata: tuple[tuple[str, bytes], ...] = ()
    if answer.retry_after_s is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromTimedelta(timedelta(seconds=answer.retry_after_s))
        status = status_pb2.Status(code=answer.grpc_code.value[0], message=answer.message)
        status.details.add().Pack(info)
        metadata = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(answer.grpc_code, answer.message, metadata)


class _TraceService(trace_grpc.TraceServiceServicer):  # type: ignore[misc]
    # The generated base class has no types.
    def __init__(self, received: Received) -> None:
        self._received = received

    async def Export(  # noqa: N802 - the name in the .proto
        self, request: trace_pb.ExportTraceServiceRequest, context: grpc.aio.ServicerContext
    ) -> trace_pb.ExportTraceServiceResponse:
        self._received.traces.append(request.SerializeToString(deterministic=True))
        self._received.headers.append({k: str(v) for k, v in context.invocation_metadata()})
        answer = self._received.next_answer()
        await _abort_if_told(context, answer)
        return _trace_response(answer)


class _MetricsService(metrics_grpc.MetricsServiceServicer):  # type: ignore[misc]
    # The generated base class has no types.
    def __init__(self, received: Received) -> None:
        self._received = received

    async def Export(  # noqa: N802 - the name in the .proto
        self, request: metrics_pb.ExportMetricsServiceRequest, context: grpc.aio.ServicerContext
    ) -> metrics_pb.ExportMetricsServiceResponse:
        self._received.metrics.append(request.SerializeToString(deterministic=True))
        answer = self._received.next_answer()
        await _abort_if_told(context, answer)
        return _metrics_response(answer)


@asynccontextmanager
async def grpc_receiver(
    port: int = 0, *, certificate: bytes = b"", key: bytes = b""
) -> AsyncIterator[Received]:
    """Run the official trace and metrics services; with TLS when PEM data is given."""
    received = Received()
    server = grpc.aio.server()
    trace_grpc.add_TraceServiceServicer_to_server(_TraceService(received), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(_MetricsService(received), server)
    if certificate:
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        received.port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    else:
        received.port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield received
    finally:
        await server.stop(grace=None)


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    received: Received

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        self.received.headers.append({k.lower(): v for k, v in self.headers.items()})
        answer = self.received.next_answer()
        if self.path.endswith("/v1/traces"):
            request = trace_pb.ExportTraceServiceRequest.FromString(body)
            self.received.traces.append(request.SerializeToString(deterministic=True))
            self._reply(answer, _trace_response(answer).SerializeToString())
        else:
            points = metrics_pb.ExportMetricsServiceRequest.FromString(body)
            self.received.metrics.append(points.SerializeToString(deterministic=True))
            self._reply(answer, _metrics_response(answer).SerializeToString())

    def _reply(self, answer: Answer, success: bytes) -> None:
        failed = answer.http_status >= 300
        status = status_pb2.Status(message=answer.message).SerializeToString()
        body = status if failed else success
        self.send_response(answer.http_status)
        if answer.retry_after_s is not None:
            self.send_header("Retry-After", str(answer.retry_after_s))
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: a test's output is its result."""


@asynccontextmanager
async def http_receiver(
    port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Received]:
    """Run an OTLP/HTTP receiver for protobuf bodies; with TLS when a context is given."""
    received = Received()
    handler = type("Handler", (_HttpHandler,), {"received": received})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    received.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
