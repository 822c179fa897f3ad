"""The recording proxy: a listener for each upstream, everything passed on as it comes.

HTTP/1.1, event streams and WebSocket upgrades; nothing is buffered beyond the head of a request.
Towards the upstream it speaks TLS and checks certificates as the program would have. Must not
know what the bytes mean.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, Self

from agentsight_core.telemetry.ledger import Stage

from agentsight_agent.backends.proxy.requests import NotHttpError, RequestStream
from agentsight_agent.backends.proxy.routes import Upstream

_READ_BYTES = 64 * 1024
_CONNECT_S = 30.0
_SETTLE_S = 0.2
_LOOPBACK = "127.0.0.1"


class Tap(Protocol):
    """Who wants to know what passes; calls come in the order of what happens."""

    def opened(self, upstream: Upstream, client_port: int) -> int:
        """Give a number to the connection that a program has made from `client_port`."""
        ...

    def connected(self, connection: int, address: str, port: int) -> None:
        """Note that the upstream of a connection has answered."""
        ...

    def passed(self, connection: int, data: bytes, *, written: bool) -> None:
        """Note that plaintext went by; `written`: by the program."""
        ...

    def closed(self, connection: int) -> None:
        """Note that a connection is gone."""
        ...


@dataclass(slots=True)
class _Ends:
    """Both ends of one connection."""

    connection: int
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    authority: str


class RecordingProxy:
    """Listens on loopback while inside; an async context manager. `stage` counts connections."""

    def __init__(self, routes: Mapping[str, Upstream], tap: Tap, stage: Stage) -> None:
        self._routes = routes
        self._tap = tap
        self._stage = stage
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()
        # OpenSSL's variables (SSL_CERT_FILE) count here as they do for the program.
        self._context = ssl.create_default_context()
        # What is read on the other side is HTTP/1.
        self._context.set_alpn_protocols(["http/1.1"])
        self.environment: dict[str, str] = {}

    def trust(self, file: str) -> None:
        """Trust the authorities in `file` too; raises OSError or ssl.SSLError."""
        self._context.load_verify_locations(file)

    async def __aenter__(self) -> Self:
        """Listen; `environment` is then what leads a program here."""
        ports: dict[Upstream, int] = {}
        for name, upstream in self._routes.items():
            if upstream not in ports:
                server = await asyncio.start_server(self._accept(upstream), _LOOPBACK, 0)
                self._servers.append(server)
                ports[upstream] = server.sockets[0].getsockname()[1]
            self.environment[name] = f"http://{_LOOPBACK}:{ports[upstream]}{upstream.path}"
        return self

    async def settle(self) -> None:
        """Wait a moment for what programs that have ended had sent."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=_SETTLE_S)

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and end what is open."""
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(
        self, upstream: Upstream
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(upstream, reader, writer))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        return accepted

    async def _serve(
        self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._stage.received += 1
        connection = self._tap.opened(upstream, writer.get_extra_info("peername")[1])
        try:
            other = await self._connect(upstream)
            self._tap.connected(connection, *other[1].get_extra_info("peername")[:2])
            ends = _Ends(connection, (reader, writer), other, upstream.authority)
            await self._pass_both_ways(ends)
            self._stage.emitted += 1
        except NotHttpError as error:
            self._stage.drop(f"not passed on: {error}")
        except (TimeoutError, OSError) as error:
            # The program sees a closed connection, as it would without us.
            self._stage.drop(f"{upstream.host}: {_reason(error)}")
        except asyncio.CancelledError:
            self._stage.emitted += 1
            raise
        finally:
            self._tap.closed(connection)
            writer.close()

    async def _connect(
        self, upstream: Upstream
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(_CONNECT_S):
            return await asyncio.open_connection(
                upstream.host,
                upstream.port,
                ssl=self._context if upstream.is_tls else None,
                happy_eyeballs_delay=0.25,
            )

    async def _pass_both_ways(self, ends: _Ends) -> None:
        """Pass on until either side ends; raises NotHttpError."""
        tasks = {
            asyncio.create_task(self._requests(ends)),
            asyncio.create_task(self._answers(ends)),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            ends.upstream[1].close()

    async def _requests(self, ends: _Ends) -> None:
        stream = RequestStream(ends.authority)
        reader, writer = ends.client[0], ends.upstream[1]
        # A side that resets has ended.
        with suppress(ConnectionError):
            while data := await reader.read(_READ_BYTES):
                if passed := stream.feed(data):
                    self._tap.passed(ends.connection, passed, written=True)
                    writer.write(passed)
                    await writer.drain()

    async def _answers(self, ends: _Ends) -> None:
        reader, writer = ends.upstream[0], ends.client[1]
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(_READ_BYTES):
                self._tap.passed(ends.connection, data, written=False)
                writer.write(data)
                await writer.drain()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or type(error).__name__
