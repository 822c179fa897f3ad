"""How every call is answered: our errors as status codes, and never longer than somebody waits.

gRPC cancels a call whose client's deadline has passed or who is gone. Must not retry: the client
knows how long it is worth it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import grpc
import grpc.aio
from agentsight_core.bus.failures import NotFound
from agentsight_core.bus.generations import Outdated
from agentsight_core.errors import AgentSightError, ConfigError, Retryable

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")

# For clients that set no deadline.
CALL_SECONDS = 30.0


Call = Callable[[Servicer, Request, grpc.aio.ServicerContext], Awaitable[Response]]


def answered(call: Call[Servicer, Request, Response]) -> Call[Servicer, Request, Response]:
    """Let `call` raise errors of ours, and end it after CALL_SECONDS."""

    @functools.wraps(call)
    async def answer(
        servicer: Servicer, request: Request, context: grpc.aio.ServicerContext
    ) -> Response:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call(servicer, request, context)
        except TimeoutError:
            text = f"not answered within {CALL_SECONDS:.0f} s, the server's limit"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)
        except AgentSightError as error:
            await context.abort(status_of(error), str(error))
        raise AssertionError("abort always raises")

    return answer


async def send(responses: AsyncGenerator[Response], context: grpc.aio.ServicerContext) -> None:
    """Send `responses` as the client takes them; raises errors of ours as status codes.

    However the call ends, `responses` are closed when this returns. A handler that yields would
    leave that to the garbage collector when it is cancelled.
    """
    try:
        async with contextlib.aclosing(responses):
            async for response in responses:
                await context.write(response)
    except AgentSightError as error:
        await context.abort(status_of(error), str(error))


def status_of(error: AgentSightError) -> grpc.StatusCode:
    """Return the code by which a client knows what to do about `error`."""
    match error:
        case Outdated():
            return grpc.StatusCode.ABORTED
        case ConfigError():
            return grpc.StatusCode.INVALID_ARGUMENT
        case NotFound():
            return grpc.StatusCode.NOT_FOUND
        case Retryable():
            return grpc.StatusCode.UNAVAILABLE
        case _:
            return grpc.StatusCode.FAILED_PRECONDITION
