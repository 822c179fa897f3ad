"""Lets only those call who know the token: an address on loopback is open to every local user.

Health and reflection are for everybody: they tell nothing of what was seen.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import grpc.aio
from agentsight_core.errors import ConfigError

_OPEN = ("/grpc.health.v1.", "/grpc.reflection.")
_KEY = "authorization"
_SCHEME = "Bearer "

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]]


def credentials_of(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that a client sends with each call."""
    return ((_KEY, f"{_SCHEME}{token}"),) if token else ()


def kept_token(path: Path) -> str:
    """Return the token in `path`, which is made, for its owner alone, if there is none.

    Raises ConfigError when it cannot be read or made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
        token = path.read_text().strip()
        if not token:
            token = secrets.token_urlsafe(32)
            path.write_text(token)
    except OSError as error:
        raise ConfigError(f"the token of the API, {path}: {error.strerror}") from error
    return token


class TokenCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # gRPC has no types
    """Answers UNAUTHENTICATED to calls without the token."""

    def __init__(self, token: str) -> None:
        self._expected = f"{_SCHEME}{token}".encode()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler:
        """Hand the call on, or answer it."""
        given = dict(handler_call_details.invocation_metadata).get(_KEY, "")
        is_open = handler_call_details.method.startswith(_OPEN)
        if is_open or hmac.compare_digest(str(given).encode(), self._expected):
            return await continuation(handler_call_details)
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(_request: bytes, context: grpc.aio.ServicerContext) -> None:
    text = "send the token of this aggregator (api.token_file), or show a certificate"
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, text)
