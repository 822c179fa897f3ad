"""What the leader of a group does: it gives the partitions to the members.

Must not rely on being the leader: each write is refused by etcd unless it still is.
"""

from __future__ import annotations

import logging

from agentsight_core.etcd import keys as etcd_keys
from agentsight_core.etcd.connection import Etcd
from agentsight_core.etcd.pb.election_pb2 import LeaderKey

from agentsight_aggregator.coordination.group import Group, GroupKeys, owner_value
from agentsight_aggregator.coordination.placement import place

_log = logging.getLogger(__name__)


async def assign(etcd: Etcd, keys: GroupKeys, partitions: int, leader: LeaderKey) -> bool:
    """Write the assignments that the present members call for; False if `leader` leads no more.

    Assignments that stay are not written again, so that their fences stay too. Raises Retryable.
    """
    entries, _ = await etcd_keys.read_prefix(etcd, keys.prefix)
    if (leader.key, leader.rev) not in {(entry.key, entry.create_revision) for entry in entries}:
        return False
    group = Group(keys)
    group.load(entries)
    owners = group.owners()
    moved = {
        partition: member
        for partition, member in place(partitions, group.members, owners).items()
        if owners.get(partition) != member
    }
    condition = etcd_keys.same_key(leader.key, leader.rev)
    values = [(keys.assignment(number), owner_value(moved[number])) for number in sorted(moved)]
    for start in range(0, len(values), etcd_keys.MAX_OPERATIONS):
        batch = values[start : start + etcd_keys.MAX_OPERATIONS]
        if not await etcd_keys.put_all_if(etcd, [condition], batch):
            return False
    if moved:
        _log.info("assigned %d partitions to %d members", len(moved), len(group.members))
    return True
