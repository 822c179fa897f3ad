"""The gRPC API as commands use it: that of an aggregator, or one of their own.

Without an address the command serves the API to itself, on a private socket in front of the bus: so
there is one way to read, and it needs no aggregator. Must not know what a command shows.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
)
from pathlib import Path
from typing import Protocol, TypeVar

import grpc
import grpc.aio
from agentsight_aggregator.api.admission import credentials_of
from agentsight_aggregator.api.server import ApiSettings, serving
from agentsight_core.bus.failures import NotFound
from agentsight_core.bus.provisioning import partition_count
from agentsight_core.config import AgentSightConfig
from agentsight_core.config.api import TOKEN_FILE
from agentsight_core.errors import AgentSightError, ConfigError, Permanent, Retryable
from agentsight_core.pb import api_pb2_grpc as stubs

from agentsight_cli import running

_CALL_SECONDS = 30.0
_OPTIONS = (("grpc.max_receive_message_length", 32 << 20),)
_CODES: dict[grpc.StatusCode, type[AgentSightError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: ConfigError,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: ConfigError,
    grpc.StatusCode.UNAVAILABLE: Retryable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Retryable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Retryable,
}


class _PageRequest(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


Request = TypeVar("Request", bound=_PageRequest)
Page = TypeVar("Page", bound=_Page)
Response = TypeVar("Response")


class Api:
    """The services, and how to call them: gRPC's errors become ours."""

    def __init__(self, channel: grpc.aio.Channel, address: str, token: str = "") -> None:
        self._address = address
        self._metadata = credentials_of(token)
        self.sessions = stubs.SessionsStub(channel)
        self.findings = stubs.FindingsStub(channel)
        self.letters = stubs.DeadLettersStub(channel)
        self.cluster = stubs.ClusterStub(channel)
        self.configuration = stubs.ConfigurationStub(channel)

    async def ask(self, call: Callable[..., Awaitable[Response]], request: object) -> Response:
        """Return the answer to one call."""
        with _told(self._address):
            return await call(request, timeout=_CALL_SECONDS, metadata=self._metadata)

    async def pages(
        self, call: Callable[..., Awaitable[Page]], request: Request
    ) -> AsyncGenerator[Page]:
        """Yield the pages of a list, one after the other."""
        while True:
            page = await self.ask(call, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def stream(
        self, call: Callable[..., AsyncIterable[Response]], request: object
    ) -> AsyncGenerator[Response]:
        """Yield what a call gives, as long as it does."""
        with _told(self._address):
            async for response in call(request, metadata=self._metadata):
                yield response


@contextlib.asynccontextmanager
async def open_api(config: AgentSightConfig, address: str) -> AsyncIterator[Api]:
    """Give the API at `address` (HOST:PORT), or one on the bus of this machine's system if "".

    Raises ConfigError, Retryable.
    """
    async with contextlib.AsyncExitStack() as stack:
        if address:
            channel = _channel(config, address)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="agentsight-"))
            bus = await stack.enter_async_context(running.open_bus(config))
            socket = f"unix:{Path(folder) / 'api'}"
            settings = ApiSettings(await partition_count(bus), socket, grace_seconds=0.5)
            await stack.enter_async_context(serving(bus, settings))
            channel = grpc.aio.insecure_channel(socket, _OPTIONS)
        token = _token(config) if address else ""
        yield Api(await stack.enter_async_context(channel), address, token)


def _token(config: AgentSightConfig) -> str:
    """Return the token that is configured, or that of this machine's system, "" without one."""
    path = config.api.token_file or config.node.state_dir / TOKEN_FILE
    try:
        return path.read_text().strip()
    except OSError as error:
        if config.api.token_file:
            raise ConfigError(f"the token of the API, {path}: {error.strerror}") from error
        # A certificate may do instead; if not, the server says what is missing.
        return ""


def _channel(config: AgentSightConfig, address: str) -> grpc.aio.Channel:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise ConfigError(f"--api {address}: must be HOST:PORT")
    api = config.api
    if api.ca_file is None:
        return grpc.aio.insecure_channel(address, _OPTIONS)
    try:
        credentials = grpc.ssl_channel_credentials(
            api.ca_file.read_bytes(),
            api.key_file and api.key_file.read_bytes(),
            api.certificate_file and api.certificate_file.read_bytes(),
        )
    except OSError as error:
        raise ConfigError(f"api: {error.filename}: {error.strerror}") from error
    return grpc.aio.secure_channel(address, credentials, _OPTIONS)


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """Raise what a call answers as an error of ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        text = error.details() or error.code().name
        if address:
            text = f"API at {address}: {text}"
        raise _CODES.get(error.code(), Permanent)(text) from error
