import asyncio
import time
from collections import Counter

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.matrix, pytest.mark.timeout(900)]

# Longer than the time for which the server knows message ids (120 s).
_AWAY_S = 150


def highest_rate(events, back_s: float) -> int:
    """Return the most frames of one node that EVENTS took within a second afterwards."""
    seconds = Counter(
        (message.subject.split(".")[3], int(message.time_s))
        for message in events
        if message.subject.startswith("events.") and message.time_s >= back_s
    )
    return max(seconds.values())


async def test_the_spool_holds_what_comes_and_drains(run):
    async with run(f"nats: all away for {_AWAY_S} s") as it:
        cluster = it.cluster
        it.happens()
        await asyncio.gather(*(member.kill() for member in cluster.nats))
        await asyncio.sleep(_AWAY_S)
        held = sum(
            path.stat().st_size
            for node in cluster.nodes
            for path in (node.folder / "spool").glob("*.seg")
        )
        await asyncio.gather(*(member.start() for member in cluster.nats))
        await cluster.healthy()
        back_s = time.time()
        await cluster.flows()
        verdict = await it.finish()
        it.note(spool_bytes=held, frames_per_s=highest_rate(it.evidence.events, back_s))
        assert not verdict.faults
        assert held > 0
