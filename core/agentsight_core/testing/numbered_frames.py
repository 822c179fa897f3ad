"""Frames whose content can be told apart, for tests of everything that carries frames."""

from __future__ import annotations

from agentsight_core import wire
from agentsight_core.pb import events_pb2 as pb

AGENT = "agent-under-test"
EPOCH_NS = 1_700_000_000_000_000_000


def numbered_frame(
    session: int,
    seq: int,
    *,
    events: int = 1,
    padding: int = 0,
    agent_id: str = AGENT,
    epoch_ns: int = EPOCH_NS,
) -> tuple[pb.FrameHeader, bytes]:
    """Return header and bytes of a frame; its events carry session, seq and their own number.

    `padding` bytes of content make it large. Event times grow by a millisecond with `seq`.
    """
    header = pb.FrameHeader(
        agent_id=agent_id,
        epoch_ns=epoch_ns,
        session=session,
        seq=seq,
        event_count=events,
        node="node.example",
        cluster="test",
    )
    batch = [
        pb.Event(
            boot_ns=seq * 1_000_000 + number,
            wall_ns=epoch_ns + seq * 1_000_000 + number,
            session=session,
            pid=number + 1,
            file_opened=pb.FileOpened(path=f"/{session}/{seq}/{number}/" + "x" * padding),
        )
        for number in range(events)
    ]
    return header, wire.encode_frame(header, wire.encode_events(batch))
