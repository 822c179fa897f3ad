"""Messages of DNS (RFC 1035), written for tests."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

_IN, _A, _CNAME, _AAAA = 1, 1, 5, 28
_TO_QUESTION = b"\xc0\x0c"


def dns_name(name: str) -> bytes:
    """Return `name` as labels."""
    parts = [part.encode("ascii") for part in name.split(".")]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def dns_answer(name: str, addresses: Sequence[str], *, alias: str = "", number: int = 1) -> bytes:
    """Return the answer that `name` (an alias of `alias`, if given) has `addresses`."""
    owner = dns_name(alias) if alias else _TO_QUESTION
    records = [_record(_TO_QUESTION, _CNAME, dns_name(alias))] if alias else []
    for text in addresses:
        address = ipaddress.ip_address(text)
        records.append(_record(owner, _A if address.version == 4 else _AAAA, address.packed))
    head = struct.pack(">6H", number, 0x8180, 1, len(records), 0, 0)
    return head + dns_name(name) + struct.pack(">2H", _A, _IN) + b"".join(records)


def _record(owner: bytes, kind: int, data: bytes) -> bytes:
    return owner + struct.pack(">HHIH", kind, _IN, 60, len(data)) + data
