"""Tombstones: what stands in the log where the spool had to give up a frame.

A tombstone has the header of the frame it replaces, so that the numbering of frames has no gap, and
one Lost event that says how many events are missing and why.

Must not decide which frames to give up.
"""

from __future__ import annotations

from agentsight_core import wire
from agentsight_core.pb import events_pb2 as pb


def tombstone(header: pb.FrameHeader, reason: str, wall_ns: int, boot_ns: int) -> bytes:
    """Return the frame that replaces the one with `header`; times are those of its arrival."""
    lost = pb.Lost(
        stage="spool",
        reason=reason,
        count=header.event_count,
        unit="events",
        first_boot_ns=boot_ns,
    )
    event = pb.Event(boot_ns=boot_ns, wall_ns=wall_ns, session=header.session, lost=lost)
    replacement = pb.FrameHeader()
    replacement.CopyFrom(header)
    replacement.event_count = 1
    return wire.encode_frame(replacement, wire.encode_events([event]))
