"""The gRPC channels to the members of a cluster, opened anew when certificates were replaced.

Must not decide which one is used.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import grpc
import grpc.aio

from agentsight_core.errors import ConfigError
from agentsight_core.runtime.tls import Contents, TlsFiles

_OPTIONS = (
    # An attempt of ours is an attempt on the wire.
    ("grpc.enable_retries", 0),
    # etcd closes connections that ping more often than every 5 s (--grpc-keepalive-min-time).
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Channels:
    """One channel to each endpoint; they connect when used."""

    def __init__(self, endpoints: tuple[str, ...], files: TlsFiles | None) -> None:
        self._endpoints = endpoints
        self._files = files
        self._pem = _read(files)
        self._open = self._opened()
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __getitem__(self, number: int) -> grpc.aio.Channel:
        return self._open[number]

    def refresh(self) -> None:
        """Use the certificates that the files hold now; connections with other ones are closed.

        Files that cannot be read at the moment leave everything as it is.
        """
        try:
            pem = _read(self._files)
        except ConfigError:
            return
        if pem == self._pem:
            return
        old, self._pem = self._open, pem
        self._open = self._opened()
        for channel in old:
            closing = asyncio.ensure_future(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._open:
            await channel.close()
        await asyncio.gather(*self._closing)

    def _opened(self) -> list[grpc.aio.Channel]:
        credentials = None
        if self._pem is not None:
            ca, certificate, key = self._pem
            credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        return [_channel(endpoint, credentials) for endpoint in self._endpoints]


def _read(files: TlsFiles | None) -> Contents | None:
    try:
        return files.read() if files else None
    except OSError as error:
        raise ConfigError(f"etcd certificate: {error.filename}: {error.strerror}") from error


def _channel(endpoint: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    url = urlsplit(endpoint)
    if url.scheme not in ("http", "https") or not url.port or not url.hostname:
        raise ConfigError(
            f"etcd endpoint {endpoint}: must be http://HOST:PORT or https://HOST:PORT"
        )
    if url.scheme == "http":
        return grpc.aio.insecure_channel(url.netloc, _OPTIONS)
    if credentials is None:
        raise ConfigError(f"etcd endpoint {endpoint}: https needs the file of a CA")
    return grpc.aio.secure_channel(url.netloc, credentials, _OPTIONS)
