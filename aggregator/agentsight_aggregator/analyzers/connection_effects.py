"""Connections that processes make: with whom, how it went, how much.

Must not decide whose effect it is beyond the process that had it.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from agentsight_core.pb import events_pb2 as events

from agentsight_aggregator.analyzers.effect_state import ConnectionEffect, Quality
from agentsight_aggregator.analyzers.findings import Attributes
from agentsight_aggregator.analyzers.placing import newest, note
from agentsight_aggregator.analyzers.state import ProcessState

# RFC 9000, RFC 9369; drafts are shown by their number.
_QUIC_VERSIONS = {1: "1", 0x6B3343CF: "2"}


def take_connected(
    process: ProcessState, item: events.Event, limit: int, names: Mapping[str, str]
) -> None:
    """Note that `process` connected, or failed to; `names` are those of addresses."""
    made = item.net_connected
    process.connections += 1
    effect = ConnectionEffect(
        time_ns=item.wall_ns - made.duration_ns,
        socket=made.socket,
        address=made.peer_address,
        port=made.peer_port,
        error=made.error,
        closed=made.error != 0,
        accepted=made.accepted,
        name="" if made.accepted else names.get(made.peer_address, ""),
        udp=made.transport == events.TRANSPORT_UDP,
        quic_version=made.quic_version,
    )
    note(process, effect, limit)


def take_sampled(process: ProcessState, item: events.Event) -> None:
    """Note how a connection of `process` does that stays open."""
    effect = _beginning_of(process, item.net_sampled.socket)
    if effect is not None:
        _take_state(effect, item.net_sampled)


def take_disconnected(process: ProcessState, item: events.Event, limit: int) -> None:
    """Add what went over a connection of `process` to its beginning."""
    done = item.net_closed
    process.sent_bytes += done.sent_bytes
    process.received_bytes += done.received_bytes
    process.sent_segments += done.sent_segments
    process.retransmitted_segments += done.retransmitted_segments
    effect = _beginning_of(process, done.socket)
    if effect is None:
        if "connection" in process.omitted:
            return
        effect = ConnectionEffect(
            time_ns=item.wall_ns - done.duration_ns,
            socket=done.socket,
            address=done.peer_address,
            port=done.peer_port,
            udp=done.transport == events.TRANSPORT_UDP,
        )
        note(process, effect, limit)
    effect.closed = True
    effect.error = effect.error or done.error
    _take_state(effect, done)


def _beginning_of(process: ProcessState, socket: int) -> ConnectionEffect | None:
    for effect in newest(process):
        if isinstance(effect, ConnectionEffect) and effect.socket == socket and not effect.closed:
            return effect
    return None


def _take_state(effect: ConnectionEffect, done: events.NetClosed) -> None:
    effect.sent_bytes = done.sent_bytes
    effect.received_bytes = done.received_bytes
    if done.transport == events.TRANSPORT_UDP:
        _take_datagrams(effect, done)
        return
    quality = Quality(**{name: getattr(done, name) for name in Quality.__struct_fields__})
    if quality != Quality():
        effect.quality = quality


def _take_datagrams(effect: ConnectionEffect, done: events.NetClosed) -> None:
    effect.sent_datagrams = done.sent_datagrams
    effect.received_datagrams = done.received_datagrams
    effect.several_peers = done.several_peers
    if not effect.address:
        # It had only been received from.
        effect.address, effect.port = done.peer_address, done.peer_port


def connection_attributes(effect: ConnectionEffect) -> Attributes:
    """Return what the span event of a connection says."""
    attributes: Attributes = {
        "network.peer.address": effect.address,
        "network.peer.port": effect.port,
        "network.transport": "udp" if effect.udp else "tcp",
        "agentsight.connection.sent_bytes": effect.sent_bytes,
        "agentsight.connection.received_bytes": effect.received_bytes,
    }
    if effect.name:
        attributes["server.address"] = effect.name
        attributes["server.port"] = effect.port
    if effect.udp:
        attributes |= _datagram_attributes(effect)
    if effect.accepted:
        attributes["agentsight.connection.accepted"] = True
    if effect.quality is not None:
        for name in effect.quality.__struct_fields__:
            attributes[f"agentsight.connection.{name}"] = getattr(effect.quality, name)
    if effect.error:
        attributes["error.type"] = errno.errorcode.get(effect.error, str(effect.error))
    if not effect.closed:
        attributes["agentsight.connection.open"] = True
    return attributes


def _datagram_attributes(effect: ConnectionEffect) -> Attributes:
    attributes: Attributes = {
        "agentsight.connection.sent_datagrams": effect.sent_datagrams,
        "agentsight.connection.received_datagrams": effect.received_datagrams,
    }
    if effect.quic_version:
        attributes["network.protocol.name"] = "quic"
        attributes["network.protocol.version"] = _QUIC_VERSIONS.get(
            effect.quic_version, f"{effect.quic_version:#010x}"
        )
    if effect.several_peers:
        attributes["agentsight.connection.several_peers"] = True
    return attributes
