"""The frame of an event that the agent itself gives of a process.

Pure. Must not know what happened.
"""

from __future__ import annotations

from agentsight_core.pb import events_pb2 as pb


def process_event(boot_ns: int, wall_offset_ns: int, session: int, pid: int) -> pb.Event:
    """Return an event of process `pid` without a body; Unix time is `wall_offset_ns` ahead."""
    wall_ns = boot_ns + wall_offset_ns
    return pb.Event(boot_ns=boot_ns, wall_ns=wall_ns, session=session, pid=pid, tid=pid)
