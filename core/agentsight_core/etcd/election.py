"""etcd's election service: one leader among the candidates of a name.

Being elected is no protection: a leader that was paused believes in itself. Whoever leads makes
each write conditional on its leader key (`keys.same_key`).
Source: https://etcd.io/docs/v3.6/dev-guide/api_concurrency_reference_v3/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from agentsight_core.errors import Retryable
from agentsight_core.etcd import methods
from agentsight_core.etcd.connection import Etcd
from agentsight_core.etcd.failures import NoLeader
from agentsight_core.etcd.pb import election_pb2 as pb
from agentsight_core.etcd.pb import mvcc_pb2 as mvcc

# How long a candidate waits before it stands again: it would wait for ever if its key was deleted
# (https://github.com/etcd-io/etcd/issues/11777).
_TERM_SECONDS = 60.0


async def campaign(etcd: Etcd, name: bytes, lease_id: int, value: bytes) -> pb.LeaderKey:
    """Wait to be elected, and return the key that proves it; the candidate's key is NAME/LEASE.

    Raises Retryable when not elected for long, or when the endpoint was given up: the candidate is
    then no longer one. Raises NotFound if there is no such lease. The key may have been deleted
    meanwhile, so make every write conditional on it.
    """
    request = pb.CampaignRequest(name=name, lease=lease_id, value=value)
    term = 2 * _TERM_SECONDS
    calling = asyncio.ensure_future(
        etcd.call(methods.CAMPAIGN, request, seconds=term, attempt_seconds=term)
    )
    moved = asyncio.ensure_future(etcd.moved())
    try:
        await asyncio.wait(
            [calling, moved], timeout=_TERM_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not calling.done():
            raise Retryable("not elected yet")
        return calling.result().leader
    finally:
        calling.cancel()
        moved.cancel()
        await asyncio.gather(calling, moved, return_exceptions=True)


async def proclaim(etcd: Etcd, leader: pb.LeaderKey, value: bytes) -> None:
    """Change the value that the leader shows; raises NoLeader if `leader` leads no more."""
    await etcd.call(methods.PROCLAIM, pb.ProclaimRequest(leader=leader, value=value))


async def read_leader(etcd: Etcd, name: bytes) -> mvcc.KeyValue | None:
    """Return the leader's key and value, None if there is no leader."""
    try:
        return (await etcd.call(methods.LEADER, pb.LeaderRequest(name=name))).kv
    except NoLeader:
        return None


async def observe(etcd: Etcd, name: bytes) -> AsyncGenerator[mvcc.KeyValue, None]:
    """Yield the leader's key and value, at once and after changes; not every change is seen.

    Raises Retryable when the stream ends.
    """
    with etcd.stream(methods.OBSERVE) as stream:
        await stream.send(pb.LeaderRequest(name=name), last=True)
        while True:
            if (answer := await stream.receive(_TERM_SECONDS)) is not None:
                yield answer.kv


async def resign(etcd: Etcd, leader: pb.LeaderKey, seconds: float) -> None:
    """Let another candidate lead; without effect if `leader` leads no more."""
    await etcd.call(methods.RESIGN, pb.ResignRequest(leader=leader), seconds=seconds)
