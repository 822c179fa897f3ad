"""Keys and values: read, written, deleted, compared, watched.

Must not resume a watch that broke: what happened meanwhile has to be read first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from agentsight_core.errors import Retryable
from agentsight_core.etcd import methods
from agentsight_core.etcd.connection import Etcd
from agentsight_core.etcd.pb import mvcc_pb2 as mvcc
from agentsight_core.etcd.pb import rpc_pb2 as rpc

# etcd's own limit of operations in a transaction (--max-txn-ops) is 128.
MAX_OPERATIONS = 100


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key behind all keys that begin with `prefix`; the last byte is not 0xFF."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


async def read_prefix(etcd: Etcd, prefix: bytes) -> tuple[Sequence[mvcc.KeyValue], int]:
    """Return all keys that begin with `prefix`, and the revision of the store they are of.

    The read is linearizable: it sees every write that was answered before.
    """
    request = rpc.RangeRequest(key=prefix, range_end=prefix_end(prefix))
    answer = await etcd.call(methods.RANGE, request)
    return answer.kvs, answer.header.revision


async def put(etcd: Etcd, key: bytes, value: bytes, lease: int = 0) -> int:
    """Write a key, which dies with `lease` if that is not 0; return the revision.

    Raises NotFound if there is no such lease.
    """
    answer = await etcd.call(methods.PUT, rpc.PutRequest(key=key, value=value, lease=lease))
    return answer.header.revision


async def delete_prefix(etcd: Etcd, prefix: bytes) -> int:
    """Delete all keys that begin with `prefix` and return how many these were."""
    request = rpc.DeleteRangeRequest(key=prefix, range_end=prefix_end(prefix))
    return (await etcd.call(methods.DELETE_RANGE, request)).deleted


def same_key(key: bytes, create_revision: int) -> rpc.Compare:
    """Return the condition that `key` is there and has not been deleted since it was made."""
    return rpc.Compare(
        target=rpc.Compare.CREATE,
        result=rpc.Compare.EQUAL,
        key=key,
        create_revision=create_revision,
    )


async def put_all_if(
    etcd: Etcd, conditions: Sequence[rpc.Compare], values: Sequence[tuple[bytes, bytes]]
) -> bool:
    """Write all `values`, at most MAX_OPERATIONS, if all conditions hold; return whether they did.

    After a lost answer they may be written twice, with the same values and a younger revision.
    """
    writes = [
        rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value)) for key, value in values
    ]
    answer = await etcd.call(methods.TXN, rpc.TxnRequest(compare=conditions, success=writes))
    return answer.succeeded


async def watch_prefix(
    etcd: Etcd, prefix: bytes, revision: int, idle_seconds: float = 2.0
) -> AsyncGenerator[Sequence[mvcc.Event], None]:
    """Yield what happens to keys that begin with `prefix` from `revision` on, in order.

    Changes of one transaction come together. A server that says nothing for `idle_seconds` is asked
    for its progress; if it is silent as long again, and whenever the stream ends or the revision is
    no longer kept, Retryable is raised: read again, watch from there.
    """
    create = rpc.WatchCreateRequest(
        key=prefix, range_end=prefix_end(prefix), start_revision=revision
    )
    with etcd.stream(methods.WATCH) as stream:
        await stream.send(rpc.WatchRequest(create_request=create))
        asked = False
        while True:
            answer = await stream.receive(idle_seconds)
            if answer is None and asked:
                raise Retryable(f"{stream.doing}: no sign of life")
            asked = answer is None
            if answer is None:
                progress = rpc.WatchProgressRequest()
                await stream.send(rpc.WatchRequest(progress_request=progress))
            elif answer.canceled:
                raise Retryable(f"{stream.doing}: {answer.cancel_reason or 'compacted'}")
            elif answer.events:
                yield answer.events
