"""A member of a group as a process of its own, to be killed and paused by tests.

usage: coordination_member.py ENDPOINTS NAME PARTITIONS LEASE_SECONDS
Prints a line of JSON whenever what it owns, by its own account, has changed: the time by the clock
of leases and [partition, fence] of each. Leaves on SIGTERM.
"""

import asyncio
import json
import sys

from agentsight_aggregator.coordination.etcd import EtcdCoordinator, GroupSettings
from agentsight_core.etcd.connection import EtcdSettings
from agentsight_core.etcd.leases import now_seconds
from agentsight_core.runtime.signals import stop_on_signals

SAMPLE_SECONDS = 0.01


def tell(mine: list[list[int]]) -> None:
    print(json.dumps({"at": now_seconds(), "mine": mine}), flush=True)


async def main() -> None:
    endpoints, name, partitions, lease_seconds = sys.argv[1:]
    settings = GroupSettings("test", name, int(partitions), int(lease_seconds))
    etcd = EtcdSettings(tuple(endpoints.split(",")))
    stop = stop_on_signals()
    async with EtcdCoordinator(etcd, settings) as coordinator:
        assigned = frozenset()

        async def follow() -> None:
            nonlocal assigned
            async for mine in coordinator.assignments():
                assigned = mine

        following = asyncio.create_task(follow())
        told: list[list[int]] | None = None
        while not stop.is_set():
            mine = sorted([a.partition, a.fence] for a in assigned if coordinator.owns(a))
            if mine != told:
                tell(mine)
                told = mine
            await asyncio.sleep(SAMPLE_SECONDS)
    await following
    tell([])


asyncio.run(main())
