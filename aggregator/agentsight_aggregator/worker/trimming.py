"""Makes room in EVENTS: what every partition has folded and saved goes before the stream is full.

EVENTS refuses new messages when it is full, so that nothing is lost silently; without trimming it
would refuse them because of old ones that nobody needs any more.

Must not remove what is not covered by a checkpoint.
"""

from __future__ import annotations

import re

from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.failures import translated

from agentsight_aggregator.worker.checkpoints import CheckpointStore

# Share of the stream's bytes at which trimming begins, and how much of the history goes.
FULL_SHARE = 0.8
_CUT_SHARE = 0.5

_PARTITIONS = re.compile(r"partition\((\d+),")


async def trim_events(bus: Bus) -> int:
    """Remove the older half of EVENTS, as far as it is saved, if it is nearly full.

    Returns how many messages are gone. Raises Retryable.
    """
    info = await bus.stream_state(subjects.EVENTS)
    if info.state.bytes < FULL_SHARE * info.config.max_bytes:
        return 0
    found = _PARTITIONS.search(info.config.subject_transform.dest)
    assert found is not None, "EVENTS is made by provision()"
    positions = [
        await CheckpointStore(bus, partition).position() for partition in range(int(found[1]))
    ]
    middle = info.state.first_seq + int((info.state.last_seq - info.state.first_seq) * _CUT_SHARE)
    keep_from = min(min(positions) + 1, middle)
    if keep_from <= info.state.first_seq:
        return 0
    with translated("trimming EVENTS"):
        await bus.js.purge_stream(subjects.EVENTS, seq=keep_from)
    return int(keep_from - info.state.first_seq)
