"""Channels to the members of an etcd cluster, with fail-over.

All calls go to one endpoint until it fails one of them; then all go to the next. A request whose
answer was lost is sent again, so it may be applied twice: whatever is sent must bear that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Generic

import grpc.aio

from agentsight_core.errors import Retryable
from agentsight_core.etcd.channels import Channels
from agentsight_core.etcd.failures import translated
from agentsight_core.etcd.methods import Method, Request, Response
from agentsight_core.runtime.tls import TlsFiles

_PAUSE_SECONDS = 0.05
# A member without a leader refuses at once instead of answering from an old state or not at all.
_METADATA = (("hasleader", "true"),)


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """How to reach the cluster; each endpoint is `http://host:port` or `https://host:port`."""

    endpoints: tuple[str, ...]
    # Needed for https endpoints.
    tls: TlsFiles | None = None
    # How long one endpoint may take before the next is tried, and how long all may take together.
    attempt_seconds: float = 1.0
    request_seconds: float = 5.0


@contextlib.asynccontextmanager
async def connect(settings: EtcdSettings) -> AsyncIterator[Etcd]:
    """Open the channels (they connect when used); raises ConfigError for unreadable PEM files."""
    channels = Channels(settings.endpoints, settings.tls)
    try:
        yield Etcd(settings, channels)
    finally:
        await channels.close()


class Etcd:
    """Calls to whichever member answers."""

    def __init__(self, settings: EtcdSettings, channels: Channels) -> None:
        self.settings = settings
        self._channels = channels
        self._current = 0
        self._moved = asyncio.Event()

    @property
    def endpoint(self) -> str:
        """Where the next call goes."""
        return self.settings.endpoints[self._current]

    async def call(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        seconds: float | None = None,
        attempt_seconds: float | None = None,
    ) -> Response:
        """Return the answer of the first member that gives one within `seconds`.

        Raises Retryable when none does, Permanent when one says that the request is wrong.
        """
        deadline = time.monotonic() + (seconds or self.settings.request_seconds)
        attempt = attempt_seconds or self.settings.attempt_seconds
        while True:
            number = self._current
            left = max(0.0, deadline - time.monotonic())
            try:
                return await self._attempt(number, method, request, min(attempt, left))
            except Retryable:
                self.give_up(number)
                if time.monotonic() + _PAUSE_SECONDS >= deadline:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _attempt(
        self, number: int, method: Method[Request, Response], request: Request, seconds: float
    ) -> Response:
        with translated(f"{method.name} at {self.settings.endpoints[number]}"):
            answer: Response = await self._channels[number].unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )(request, timeout=seconds, metadata=_METADATA)
        return answer

    @contextlib.contextmanager
    def stream(self, method: Method[Request, Response]) -> Iterator[Stream[Request, Response]]:
        """Open a stream to the current endpoint, and cancel it at the end.

        When the body raises Retryable the endpoint is given up.
        """
        number = self._current
        call = self._channels[number].stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )(metadata=_METADATA)
        stream = Stream[Request, Response](f"{method.name} at {self.endpoint}", call)
        try:
            yield stream
        except Retryable:
            self.give_up(number)
            raise
        finally:
            stream.cancel()

    def give_up(self, number: int) -> None:
        """Let calls go to the next endpoint, unless they go elsewhere than to `number` already."""
        if number == self._current:
            self._current = (number + 1) % len(self._channels)
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
            # Perhaps it refused certificates that have been replaced since they were read.
            self._channels.refresh()

    async def moved(self) -> None:
        """Return when an endpoint is given up: what waits there for an answer should not."""
        await self._moved.wait()


class Stream(Generic[Request, Response]):
    """A stream of requests and answers to one member."""

    def __init__(self, doing: str, call: grpc.aio.StreamStreamCall) -> None:
        self.doing = doing
        self._call = call
        self._reading: asyncio.Task[Response] | None = None

    async def send(self, request: Request, *, last: bool = False) -> None:
        """Send `request`, the `last` one if nothing will follow."""
        with translated(self.doing):
            try:
                await self._call.write(request)
                if last:
                    await self._call.done_writing()
            except asyncio.InvalidStateError as error:
                # gRPC says so when the server has ended the stream.
                raise Retryable(f"{self.doing}: the stream has ended") from error

    async def receive(self, seconds: float) -> Response | None:
        """Return the next answer, None if there is none in `seconds`; raises Retryable at the end.

        The read goes on in the background: gRPC ends the stream when a read is cancelled.
        """
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        done, _ = await asyncio.wait([self._reading], timeout=seconds)
        if not done:
            return None
        reading, self._reading = self._reading, None
        with translated(self.doing):
            answer = reading.result()
        if answer is grpc.aio.EOF:
            raise Retryable(f"{self.doing}: the server has ended the stream")
        return answer

    def cancel(self) -> None:
        """End the stream."""
        self._call.cancel()
        if self._reading is not None:
            self._reading.cancel()
