"""How long EVENTS keeps what it has: never shorter than its frames need to be folded.

Must not change the stream.
"""

from __future__ import annotations

import time
from dataclasses import replace

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import NotFound
from agentsight_core.bus.provisioning import BusSettings, partition_count

from agentsight_aggregator.worker.checkpoints import CheckpointStore


async def keeping_unfolded(bus: Bus, wanted: BusSettings) -> BusSettings:
    """Return `wanted`, with the present age of EVENTS if frames would go that nobody has folded."""
    try:
        present = (await bus.stream_state(subjects.EVENTS)).config.max_age
    except NotFound:
        return wanted
    # 0: for ever.
    if present and wanted.events.max_age_seconds >= present:
        return wanted
    positions = [
        await CheckpointStore(bus, partition).position()
        for partition in range(await partition_count(bus))
    ]
    waiting_s = await bus.written_s(subjects.EVENTS, min(positions) + 1)
    if waiting_s is None or time.time() - waiting_s < wanted.events.max_age_seconds:
        return wanted
    return replace(wanted, events=replace(wanted.events, max_age_seconds=present))
