"""Programs and peers of which nothing is to be recorded, in the kernel side's form.

Must not decide which they are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

# struct excluded_program, PROGRAM_NAME_BYTES and ANY_USER of bpf/lib/exclusions.bpf.h
_NAME_BYTES = 64
_KEY = struct.Struct(f"<I{_NAME_BYTES}s")
_ANY_USER = 0xFFFFFFFF
# With the zero byte behind it.
MAX_NAME_BYTES = _NAME_BYTES - 1

Network: TypeAlias = IPv4Network | IPv6Network
# struct peer_network of bpf/lib/peers.bpf.h
_NETWORK = struct.Struct("<I16s")
_IPV4_IN_IPV6 = bytes(10) + b"\xff\xff"


def packed_network(network: Network) -> bytes:
    """Return a network as a key of the kernel's table."""
    address, bits = network.network_address.packed, network.prefixlen
    if network.version == 4:
        address, bits = _IPV4_IN_IPV6 + address, bits + 8 * len(_IPV4_IN_IPV6)
    return _NETWORK.pack(bits, address)


@dataclass(frozen=True, slots=True)
class ExcludedProgram:
    """A file name of at most MAX_NAME_BYTES, of one user; "" = all programs, None = all users."""

    name: str = ""
    uid: int | None = None

    def packed(self) -> bytes:
        """Return it as a key of the kernel's table."""
        return _KEY.pack(_ANY_USER if self.uid is None else self.uid, self.name.encode())
