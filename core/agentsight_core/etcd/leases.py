"""Leases: granted, kept alive, given back.

Must not trust the server to say that a lease has ended: that is known by our own clock.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from agentsight_core.clocks import boot_ns
from agentsight_core.errors import Retryable
from agentsight_core.etcd import methods
from agentsight_core.etcd.connection import Etcd
from agentsight_core.etcd.failures import LeaseLost, NotFound
from agentsight_core.etcd.pb import rpc_pb2 as rpc

# Of a lease's time to live: how early it counts as ended, since clocks differ in speed and work
# takes a moment to stop; and how often it is renewed. The rest is for what may lie between two
# renewals: 1.8 to 2.7 s when etcd's leader is killed, with etcd's own defaults.
_MARGIN = 1 / 10
_RENEWALS = 10


def now_seconds() -> float:
    """Return a clock that nobody sets and that goes on while the machine is suspended."""
    return boot_ns() / 1e9


@dataclass(slots=True)
class Lease:
    """A lease and until when it holds for certain."""

    id: int
    ttl_seconds: float
    # By `now_seconds`, counted from when the last renewal was sent: the server counts from later.
    ends_at: float

    @property
    def left_seconds(self) -> float:
        """How long the lease may be relied on, from now; not positive: no more."""
        return self.ends_at - self.ttl_seconds * _MARGIN - now_seconds()

    @property
    def holds(self) -> bool:
        """Whether the lease can be relied on at this moment."""
        return self.left_seconds > 0


async def grant(etcd: Etcd, seconds: int) -> Lease:
    """Return a new lease of at least `seconds` (whole ones; the server has a minimum)."""
    sent_at = now_seconds()
    answer = await etcd.call(methods.GRANT, rpc.LeaseGrantRequest(TTL=seconds))
    # The first attempt may have failed: the lease is then younger than we count.
    return Lease(answer.ID, answer.TTL, sent_at + answer.TTL)


async def renew(etcd: Etcd, lease: Lease) -> None:
    """Renew the lease once; raises LeaseLost if it is too late, Retryable if nobody answers."""
    sent_at, left_seconds = now_seconds(), lease.left_seconds
    if left_seconds <= 0:
        raise LeaseLost(f"lease {lease.id:x} was not renewed in time")
    # A stream of one request is on the wire the same as a call of one.
    answer = await etcd.call(
        methods.KEEP_ALIVE,
        rpc.LeaseKeepAliveRequest(ID=lease.id),
        seconds=left_seconds,
        attempt_seconds=min(etcd.settings.attempt_seconds, lease.ttl_seconds / 4),
    )
    if answer.TTL <= 0:
        raise LeaseLost(f"lease {lease.id:x} has ended")
    lease.ends_at = sent_at + answer.TTL


async def keep_alive(etcd: Etcd, lease: Lease) -> None:
    """Renew the lease until it is lost: raises LeaseLost as soon as it cannot be relied on."""
    while True:
        try:
            await renew(etcd, lease)
        except LeaseLost:
            raise
        except Retryable as error:
            if not lease.holds:
                raise LeaseLost(f"lease {lease.id:x} was not renewed in time: {error}") from error
        await asyncio.sleep(max(0.0, min(lease.ttl_seconds / _RENEWALS, lease.left_seconds)))


async def revoke(etcd: Etcd, lease_id: int, seconds: float) -> None:
    """End the lease and delete what hangs on it; raises Retryable if nobody answers."""
    with contextlib.suppress(NotFound):
        await etcd.call(methods.REVOKE, rpc.LeaseRevokeRequest(ID=lease_id), seconds=seconds)
