"""What can go wrong with etcd, in our terms: gRPC's errors end here.

Must not decide what to do about them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc
import grpc.aio

from agentsight_core.errors import Permanent, Retryable

# Codes that etcd gives to a request that is wrong by itself
# (https://github.com/etcd-io/etcd/blob/main/api/v3rpc/rpctypes/error.go). Everything else passes:
# UNAVAILABLE (no leader, leader changed, no connection), DEADLINE_EXCEEDED, CANCELLED,
# RESOURCE_EXHAUSTED (too many requests, store full), and UNKNOWN, which is what becomes of
# "etcdserver: request timed out" and of a stream whose server was killed.
_PERMANENT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
}


class NotFound(Permanent):
    """The lease does not exist (any more)."""


class NoLeader(Permanent):
    """Nobody leads the election, or not the candidate who says so."""


class LeaseLost(Retryable):
    """The lease has ended, or may have ended: what hangs on it is gone; begin with a new one."""


# The election service passes errors on without their codes.
_BY_DETAILS: dict[str, type[Permanent]] = {
    "election: no leader": NoLeader,
    "election: not leader": NoLeader,
    "etcdserver: requested lease not found": NotFound,
}


def classified(doing: str, error: grpc.aio.AioRpcError) -> Retryable | Permanent:
    """Return our error for an answer of gRPC."""
    code, details = error.code(), error.details() or ""
    text = f"{doing}: {code.name}: {details[:200]}"
    if details in _BY_DETAILS:
        return _BY_DETAILS[details](text)
    return Permanent(text) if code in _PERMANENT else Retryable(text)


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what gRPC raises as an error of ours, chained."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise classified(doing, error) from error
