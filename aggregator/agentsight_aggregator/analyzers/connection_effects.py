"""Connections that processes make: with whom, how it went, how much.

Must not decide whose effect it is beyond the process that had it.
"""

from __future__ import annotations

import errno

from agentsight_core.pb import events_pb2 as events

from agentsight_aggregator.analyzers.effect_state import ConnectionEffect
from agentsight_aggregator.analyzers.findings import Attributes
from agentsight_aggregator.analyzers.placing import newest, note
from agentsight_aggregator.analyzers.state import ProcessState


def take_connected(process: ProcessState, item: events.Event, limit: int) -> None:
    """Note that `process` connected, or failed to."""
    made = item.net_connected
    process.connections += 1
    effect = ConnectionEffect(
        time_ns=item.wall_ns - made.duration_ns,
        socket=made.socket,
        address=made.peer_address,
        port=made.peer_port,
        error=made.error,
        closed=made.error != 0,
    )
    note(process, effect, limit)


def take_disconnected(process: ProcessState, item: events.Event, limit: int) -> None:
    """Add what went over a connection of `process` to its beginning."""
    done = item.net_closed
    process.sent_bytes += done.sent_bytes
    process.received_bytes += done.received_bytes
    for effect in newest(process):
        if (
            isinstance(effect, ConnectionEffect)
            and effect.socket == done.socket
            and not effect.closed
        ):
            break
    else:
        if "connection" in process.omitted:
            return
        effect = ConnectionEffect(
            time_ns=item.wall_ns - done.duration_ns,
            socket=done.socket,
            address=done.peer_address,
            port=done.peer_port,
        )
        note(process, effect, limit)
    assert isinstance(effect, ConnectionEffect)
    effect.closed = True
    effect.sent_bytes = done.sent_bytes
    effect.received_bytes = done.received_bytes


def connection_attributes(effect: ConnectionEffect) -> Attributes:
    """Return what the span event of a connection says."""
    attributes: Attributes = {
        "network.peer.address": effect.address,
        "network.peer.port": effect.port,
        "network.transport": "tcp",
        "agentsight.connection.sent_bytes": effect.sent_bytes,
        "agentsight.connection.received_bytes": effect.received_bytes,
    }
    if effect.error:
        attributes["error.type"] = errno.errorcode.get(effect.error, str(effect.error))
    if not effect.closed:
        attributes["agentsight.connection.open"] = True
    return attributes
