"""The telemetry port: /metrics, /ledger, /healthz, /readyz, for operators and Prometheus.

asyncio and h11 rather than an ASGI server: an agent has a memory limit, and four read-only pages
need no framework (measured here: 1.1 MB and 18 ms to start, against 4.7 MB and 73 ms of uvicorn
with starlette). One request a connection, so that a client can hold nothing for longer than the
time-out. Must not serve captured content.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import h11
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from agentsight_core.telemetry.ledger import Ledger
from agentsight_core.telemetry.links import Link

_READ_BYTES = 4096
_LINGER_S = 1.0
_PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Where to listen and what a client may cost."""

    host: str = "127.0.0.1"
    # 0 = any free port; `TelemetryServer.port` tells which.
    port: int = 0
    # From connect to the last byte of the answer.
    request_timeout_s: float = 5.0
    max_connections: int = 32
    max_head_bytes: int = 16 * 1024
    # Whether there is the page /metrics; the others are always there.
    metrics: bool = True


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class _RefusedCollector(Collector):
    def __init__(self, refused: Counter[str]) -> None:
        self._refused = refused

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "agentsight_telemetry_refused",
            "Clients of the telemetry port that got no page, by reason.",
            labels=("reason",),
        )
        for reason, count in sorted(self._refused.items()):
            family.add_metric((reason,), count)
        yield family


def _nothing_missing() -> Sequence[str]:
    return ()


class TelemetryServer:
    """Serves the telemetry of one process while its context is open; OSError when it cannot listen.

    `not_ready` returns what the process still waits for, one phrase each; empty = ready.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        ledger: Ledger,
        *,
        links: Sequence[Link] = (),
        not_ready: Callable[[], Sequence[str]] = _nothing_missing,
        settings: TelemetrySettings | None = None,
    ) -> None:
        self._settings = settings or TelemetrySettings()
        self._registry = registry
        self._ledger = ledger
        self._links = links
        self._not_ready = not_ready
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        # Clients that got no answer or were told that they are wrong: timeout, too_many, malformed…
        self.refused: Counter[str] = Counter()
        registry.register(_RefusedCollector(self.refused))

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "the server is not open"
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await self._listen(self._settings)
        return self

    async def _listen(self, settings: TelemetrySettings) -> asyncio.Server:
        return await asyncio.start_server(
            self._connected, settings.host, settings.port, limit=_READ_BYTES
        )

    async def apply(self, settings: TelemetrySettings) -> None:
        """Go on with other settings, listening elsewhere if they say so.

        Answers under way are finished. Raises OSError, with nothing changed, when it cannot listen.
        """
        old, server = self._settings, self._server
        assert server is not None, "the server is not open"
        if (settings.host, settings.port) != (old.host, old.port):
            self._server = await self._listen(settings)
            server.close()
        self._settings = settings

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._settings.max_connections:
            self.refused["too_many"] += 1
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self._converse(reader, writer)
        except TimeoutError:
            self.refused["timeout"] += 1
        except ConnectionError:
            self.refused["disconnected"] += 1
        finally:
            # Everything was drained or is not wanted: nothing may linger.
            writer.transport.abort()
            self._connections.discard(task)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(
            h11.SERVER, max_incomplete_event_size=self._settings.max_head_bytes
        )
        try:
            request = await _read_request(connection, reader)
            if request is None:
                return
            response, with_body = self._answer(request), request.method != b"HEAD"
        except h11.RemoteProtocolError as error:
            self.refused["malformed"] += 1
            response = _Response(error.error_status_hint, _PLAIN, f"{error}\n".encode())
            with_body = True
        writer.write(_encode(connection, response, with_body=with_body))
        writer.write_eof()
        await writer.drain()
        # Closing while the client still sends would reset the connection and lose the answer.
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_LINGER_S):
                while await reader.read(_READ_BYTES):
                    pass

    def _answer(self, request: h11.Request) -> _Response:
        pages = {
            b"/metrics": self._metrics,
            b"/ledger": self._show_ledger,
            b"/healthz": self._healthz,
            b"/readyz": self._readyz,
        }
        if not self._settings.metrics:
            del pages[b"/metrics"]
        page = pages.get(request.target.partition(b"?")[0])
        if page is None:
            known = ", ".join(path.decode() for path in pages)
            return _Response(404, _PLAIN, f"no such page; there are {known}\n".encode())
        if request.method not in (b"GET", b"HEAD"):
            return _Response(405, _PLAIN, b"only GET and HEAD\n", (("allow", "GET, HEAD"),))
        return page(request)

    def _metrics(self, request: h11.Request) -> _Response:
        accept = ",".join(
            value.decode("latin-1") for name, value in request.headers if name == b"accept"
        )
        encode, content_type = choose_encoder(accept)
        return _Response(200, content_type, encode(self._registry))

    def _show_ledger(self, _request: h11.Request) -> _Response:
        page = {
            "stages": self._ledger.as_dict(),
            "links": [{"sources": link.sources, "targets": link.targets} for link in self._links],
        }
        return _Response(200, "application/json", json.dumps(page).encode() + b"\n")

    def _healthz(self, _request: h11.Request) -> _Response:
        return _Response(200, _PLAIN, b"ok\n")

    def _readyz(self, _request: h11.Request) -> _Response:
        missing = self._not_ready()
        if missing:
            return _Response(503, _PLAIN, f"waiting for {', '.join(missing)}\n".encode())
        return _Response(200, _PLAIN, b"ready\n")


def _encode(connection: h11.Connection, response: _Response, *, with_body: bool) -> bytes:
    head = h11.Response(
        status_code=response.status,
        headers=[
            ("content-type", response.content_type),
            ("content-length", str(len(response.body))),
            ("connection", "close"),
            *response.headers,
        ],
    )
    data = connection.send(head) or b""
    if with_body:
        data += connection.send(h11.Data(data=response.body)) or b""
    return data


async def _read_request(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> h11.Request | None:
    """Return the head of the request, None when the client left first; a body is not read.

    Raises h11.RemoteProtocolError when it is no HTTP or its head is too long.
    """
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_READ_BYTES))
    return event if isinstance(event, h11.Request) else None
