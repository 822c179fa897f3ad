"""OTLP over gRPC.

Must not retry: gRPC's own retries are off, so that one attempt here is one attempt on the wire.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc
import grpc.aio
from agentsight_core.errors import ConfigError, Permanent, Retryable
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from agentsight_aggregator.exporters.otlp.transport import OtlpSettings, Signal, shown

# https://opentelemetry.io/docs/specs/otlp/#failures; RESOURCE_EXHAUSTED only with a RetryInfo.
_RETRYABLE = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
_OPTIONS = (
    ("grpc.enable_retries", 0),
    # A receiver that comes back is found within seconds (default: 120 s).
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.keepalive_time_ms", 60_000),
)
# Where a server puts a google.rpc.Status with details.
_STATUS_KEY = "grpc-status-details-bin"


class GrpcTransport:
    """One channel to one receiver, open while the context is."""

    def __init__(self, settings: OtlpSettings) -> None:
        self._settings = settings
        self._metadata = tuple((name.lower(), value) for name, value in settings.headers.items())

    async def __aenter__(self) -> Self:
        """Open the channel (it connects when it is used); raises ConfigError on bad PEM files."""
        self._seen = self._settings.fingerprint()
        self._channel = self._opened()
        return self

    def _opened(self) -> grpc.aio.Channel:
        compression = grpc.Compression.Gzip if self._settings.gzip else None
        authority = self._settings.authority
        if not self._settings.secure:
            return grpc.aio.insecure_channel(authority, _OPTIONS, compression)
        return grpc.aio.secure_channel(authority, self._credentials(), _OPTIONS, compression)

    async def _refresh(self) -> None:
        """Use the PEM files as they are now; those in use stay while one is missing."""
        seen = self._settings.fingerprint()
        if seen in (self._seen, ()):
            return
        try:
            new = self._opened()
        except ConfigError:
            # The key is being replaced: the next request looks again.
            return
        old, self._channel, self._seen = self._channel, new, seen
        await old.close(self._settings.timeout_s)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def send(self, signal: Signal, request: bytes) -> bytes:
        """Return the serialized response; see `Transport.send`."""
        await self._refresh()
        call = self._channel.unary_unary(signal.grpc_method)
        try:
            answer = await call(request, timeout=self._settings.timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._classified(error) from error
        return bytes(answer)

    def _classified(self, error: grpc.aio.AioRpcError) -> Retryable | Permanent:
        code = error.code()
        retry_after_s = _retry_delay_s(error)
        text = f"{self._settings.authority}: {code.name}: {shown(error.details() or '')}"
        throttled = code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_s is not None
        if code in _RETRYABLE or throttled:
            return Retryable(text, retry_after_s=retry_after_s)
        return Permanent(text)

    def _credentials(self) -> grpc.ChannelCredentials:
        settings = self._settings
        try:
            return grpc.ssl_channel_credentials(
                root_certificates=settings.ca_file and settings.ca_file.read_bytes(),
                private_key=settings.key_file and settings.key_file.read_bytes(),
                certificate_chain=settings.certificate_file
                and settings.certificate_file.read_bytes(),
            )
        except OSError as error:
            raise ConfigError(f"OTLP certificate: {error.filename}: {error.strerror}") from error


def _retry_delay_s(error: grpc.aio.AioRpcError) -> float | None:
    """Return the delay of the RetryInfo among the details of `error`, None when there is none."""
    for key, value in error.trailing_metadata() or ():
        if key != _STATUS_KEY:
            continue
        try:
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                retry_info = error_details_pb2.RetryInfo()
                if detail.Unpack(retry_info):
                    return float(retry_info.retry_delay.ToTimedelta().total_seconds())
        except (DecodeError, ValueError):
            # Details that cannot be read say nothing; the status code still does.
            return None
    return None
