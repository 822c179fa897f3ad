"""The network of a session: sums over its connections, those that are still open included.

Must not know processes or spans.
"""

from __future__ import annotations

import msgspec
from agentsight_core.pb import events_pb2 as events

# Open connections that have been sampled; beyond it the sums of the oldest are final.
_MAX_OPEN = 4096


class ConnectionSums(msgspec.Struct, frozen=True):
    """What a connection has moved from its beginning on; TCP and UDP."""

    sent_bytes: int = 0
    received_bytes: int = 0
    # Of TCP, as all below.
    sent_segments: int = 0
    retransmitted_segments: int = 0
    lost_segments: int = 0
    # Smoothed round trip times the segments that it is weighted by, if it is measured.
    weighted_round_trip_us: int = 0
    weight: int = 0


class NetworkTotals(msgspec.Struct):
    """Part of a checkpoint."""

    # The parts of connections that are over, and of those that are open.
    sums: ConnectionSums = ConnectionSums()
    failed: int = 0
    # 0 = not measured.
    least_round_trip_us: int = 0
    # By socket, the oldest first.
    open: dict[int, ConnectionSums] = {}


def take_progress(totals: NetworkTotals, done: events.NetClosed, *, closed: bool) -> int:
    """Take in how far a connection has come; return how many others are not followed any more."""
    now = _sums(done)
    before = totals.open.pop(done.socket, ConnectionSums())
    totals.sums = _combined(totals.sums, now, before)
    least = done.least_round_trip_us
    if least and (not totals.least_round_trip_us or least < totals.least_round_trip_us):
        totals.least_round_trip_us = least
    if closed:
        return 0
    totals.open[done.socket] = now
    if len(totals.open) <= _MAX_OPEN:
        return 0
    del totals.open[next(iter(totals.open))]
    return 1


def round_trip_us(totals: NetworkTotals) -> int:
    """Return the mean over the connections, weighted by the segments sent; 0 = not measured."""
    sums = totals.sums
    return sums.weighted_round_trip_us // sums.weight if sums.weight else 0


def network_attributes(totals: NetworkTotals) -> dict[str, int]:
    """Return what the span of a session says of its network; nothing if there was none."""
    sums = totals.sums
    numbers = {
        "sent_bytes": sums.sent_bytes,
        "received_bytes": sums.received_bytes,
        "sent_segments": sums.sent_segments,
        "retransmitted_segments": sums.retransmitted_segments,
        "lost_segments": sums.lost_segments,
        "failed": totals.failed,
        "round_trip_us": round_trip_us(totals),
        "least_round_trip_us": totals.least_round_trip_us,
    }
    return {f"agentsight.connection.{name}": number for name, number in numbers.items() if number}


def _sums(done: events.NetClosed) -> ConnectionSums:
    # A connection that was only read from has sent nothing but acknowledgements.
    weight = max(done.sent_segments, 1) if done.round_trip_us else 0
    return ConnectionSums(
        sent_bytes=done.sent_bytes,
        received_bytes=done.received_bytes,
        sent_segments=done.sent_segments,
        retransmitted_segments=done.retransmitted_segments,
        lost_segments=done.lost_segments,
        weighted_round_trip_us=done.round_trip_us * weight,
        weight=weight,
    )


def _combined(sums: ConnectionSums, now: ConnectionSums, before: ConnectionSums) -> ConnectionSums:
    return ConnectionSums(
        **{
            name: getattr(sums, name) + getattr(now, name) - getattr(before, name)
            for name in ConnectionSums.__struct_fields__
        }
    )
