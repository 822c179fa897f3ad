"""OTLP over HTTP with protobuf bodies.

httpx2, because genai-prices loads it anyway. Must not retry or follow redirects.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import httpx2
from agentsight_core.errors import ConfigError, Permanent, Retryable
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from agentsight_aggregator.exporters.otlp.transport import OtlpSettings, Signal, shown

# https://opentelemetry.io/docs/specs/otlp/#failures-1
_RETRYABLE = {429, 502, 503, 504}
_PROTOBUF = "application/x-protobuf"
# Nearly the size of level 6 for a third of its time.
_GZIP_LEVEL = 1


class HttpTransport:
    """One connection pool to one receiver, open while the context is."""

    def __init__(self, settings: OtlpSettings) -> None:
        self._settings = settings
        self._headers = {**settings.headers, "content-type": _PROTOBUF, "accept": _PROTOBUF}
        if settings.gzip:
            self._headers["content-encoding"] = "gzip"

    async def __aenter__(self) -> Self:
        """Open the pool (it connects when it is used); raises ConfigError on bad PEM files."""
        self._seen = self._settings.fingerprint()
        self._client = self._opened()
        return self

    def _opened(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=self._tls(),
            # Each phase (connect, write, read) is bounded by it; `send` bounds the whole.
            timeout=self._settings.timeout_s,
            follow_redirects=False,
        )

    async def _refresh(self) -> None:
        """Use the PEM files as they are now; those in use stay while new ones are no use."""
        seen = self._settings.fingerprint()
        if seen in (self._seen, ()):
            return
        try:
            new = self._opened()
        except ConfigError:
            # A certificate whose key is not there yet: the next request looks again.
            return
        old, self._client, self._seen = self._client, new, seen
        await old.aclose()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def send(self, signal: Signal, request: bytes) -> bytes:
        """Return the serialized response; see `Transport.send`."""
        url = self._settings.url(signal)
        await self._refresh()
        if self._settings.gzip:
            request = await asyncio.to_thread(gzip.compress, request, _GZIP_LEVEL, mtime=0)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                response = await self._client.post(url, content=request, headers=self._headers)
        except TimeoutError as error:
            raise Retryable(f"{url}: no answer in {self._settings.timeout_s} s") from error
        except httpx2.TransportError as error:
            raise Retryable(f"{url}: {type(error).__name__}: {error}") from error
        if response.is_success:
            return response.content
        raise _classified(url, response)

    def _tls(self) -> ssl.SSLContext:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.certificate_file is not None:
                context.load_cert_chain(settings.certificate_file, settings.key_file)
        except OSError as error:
            # ssl.SSLError is an OSError: a file that is missing, unreadable or no PEM.
            raise ConfigError(f"OTLP certificate: {error}") from error
        return context


def _classified(url: str, response: httpx2.Response) -> Retryable | Permanent:
    text = f"{url}: HTTP {response.status_code}: {shown(_reason(response))}"
    if response.status_code in _RETRYABLE:
        return Retryable(text, retry_after_s=_retry_after_s(response.headers.get("retry-after")))
    return Permanent(text)


def _reason(response: httpx2.Response) -> str:
    """Return the message of the google.rpc.Status that OTLP puts into the body, else the phrase."""
    if response.headers.get("content-type", "").startswith(_PROTOBUF):
        try:
            return str(status_pb2.Status.FromString(response.content).message)
        except DecodeError:
            # Not a Status after all: the phrase says what there is to say.
            return response.reason_phrase
    return response.reason_phrase


def _retry_after_s(value: str | None) -> float | None:
    """Return the delay in seconds of a Retry-After header (RFC 9110, 10.2.3): seconds or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
