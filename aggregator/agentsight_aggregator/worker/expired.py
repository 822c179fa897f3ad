"""Events that left the log before their partition was folded: nobody was there for too long.

How many frames these were cannot be known any more; the numbering of sessions that go on tells it
for those. That it happened stands in the log itself, so that every repetition finds it. Must not
fold.
"""

from __future__ import annotations

import logging
import time

from agentsight_core import wire
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, Outgoing
from agentsight_core.pb import events_pb2 as pb

_log = logging.getLogger(__name__)

STAGE = "bus"
REASON = "expired"


async def tell_expired(bus: Bus, partition: int, folded: int, first_kept: int) -> None:
    """Put a loss into the log of `partition` if messages behind `folded` are gone; else nothing.

    `first_kept`: the first message that EVENTS still has. Raises Retryable.
    """
    if first_kept <= folded + 1:
        return
    place = f"EVENTS {folded + 1} to {first_kept - 1}"
    _log.error("partition %d: %s expired before it was folded", partition, place)
    lost = pb.Lost(stage=STAGE, reason=REASON, count=1, unit="stretches", place=place)
    now_ns = time.time_ns()
    header = pb.FrameHeader(agent_id="expired", epoch_ns=now_ns, seq=1, event_count=1)
    frame = wire.encode_frame(header, wire.encode_events([pb.Event(wall_ns=now_ns, lost=lost)]))
    # A successor that comes before the next checkpoint finds the same stretch.
    once = {subjects.MESSAGE_ID: f"expired:{partition}:{folded}"}
    await bus.publish(Outgoing(subjects.tick_subject(partition), frame, once))
