"""TCP connections of a Windows trace: Microsoft-Windows-Kernel-Network and the classic TcpIp class.

Both have the same numbers and fields, the first as event ids, the second as opcodes. Pure and
bounded.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import partial

from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.backends.etw.events import EtwEvent, MalformedEventError, number
from agentsight_agent.backends.items import process_effect
from agentsight_agent.backends.traces.newest import Newest
from agentsight_agent.backends.traces.reader import TraceAccount, Unused
from agentsight_agent.bpf.records import Item

GUID = "7dd42a49-5329-4832-8dfd-43d979153a88"
CLASSIC_GUID = "9a280ac0-c8e0-11d1-84e2-00c04fb998a2"

# Of IPv4; those of IPv6 are 16 higher.
_SEND, _RECEIVE, _CONNECT, _DISCONNECT, _RETRANSMIT, _ACCEPT = range(10, 16)
_IPV6 = 16
_MAX_CONNECTIONS = 65_536
_Key = tuple[int, str, int, str, int]


@dataclass(slots=True)
class _Connection:
    number: int
    begin_ns: int
    sent: int = 0
    received: int = 0
    retransmitted: int = 0


class Network:
    """The connections that are open."""

    def __init__(self, account: TraceAccount) -> None:
        forgotten = partial(account.forget, "connection, more than are followed")
        self._open: Newest[_Key, _Connection] = Newest(_MAX_CONNECTIONS, forgotten)
        self._count = 0

    def take(self, event: EtwEvent, told: pb.Event) -> list[Item] | Unused:
        """Return the items of an event, which may be none yet; `told` has no body.

        Raises MalformedEventError.
        """
        kind = event.ident or event.opcode
        kind -= _IPV6 if kind >= _SEND + _IPV6 else 0
        if kind not in range(_SEND, _ACCEPT + 1):
            return Unused("network event without an event of ours")
        key = _key(event)
        # The event may come in the context of another process.
        told.pid = told.tid = key[0]
        if kind in {_CONNECT, _ACCEPT}:
            return [self._made(key, told, accepted=kind == _ACCEPT)]
        if kind == _DISCONNECT:
            return [self._closed(key, told)]
        connection = self._find(key, told.boot_ns)
        size = event.needed("size") & 0xFFFFFFFF
        if kind == _SEND:
            connection.sent += size
        elif kind == _RECEIVE:
            connection.received += size
        else:
            connection.retransmitted += size
        return []

    def _made(self, key: _Key, told: pb.Event, *, accepted: bool) -> Item:
        self._open.pop(key, None)
        made = told.net_connected
        made.socket = self._find(key, told.boot_ns).number
        _, made.local_address, made.local_port, made.peer_address, made.peer_port = key
        made.accepted = accepted
        return process_effect(told)

    def _closed(self, key: _Key, told: pb.Event) -> Item:
        connection = self._find(key, told.boot_ns)
        del self._open[key]
        done = told.net_closed
        done.socket, done.peer_address, done.peer_port = connection.number, key[3], key[4]
        done.sent_bytes, done.received_bytes = connection.sent, connection.received
        done.retransmitted_bytes = connection.retransmitted
        done.duration_ns = max(0, told.boot_ns - connection.begin_ns)
        return process_effect(told)

    def _find(self, key: _Key, time_ns: int) -> _Connection:
        """Return a connection; one that is older than the trace begins now."""
        found = self._open.get(key)
        if found is None:
            self._count += 1
            found = _Connection(self._count, time_ns)
            self._open.put(key, found)
        return found


def _key(event: EtwEvent) -> _Key:
    pid = event.needed("PID")
    local, remote = _address(event.text("saddr")), _address(event.text("daddr"))
    ports = event.needed("sport"), event.needed("dport")
    if pid >= 1 << 32 or max(ports) >= 1 << 16:
        raise MalformedEventError("PID, sport or dport")
    return pid, local, ports[0], remote, ports[1]


def _address(text: str) -> str:
    """Return an address as text; a number is the bytes of an IPv4 address, the first one lowest."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        value = number(text)
    if value is None or not 0 <= value < 1 << 32:
        raise MalformedEventError("saddr or daddr")
    return str(ipaddress.IPv4Address(value.to_bytes(4, "little")))
