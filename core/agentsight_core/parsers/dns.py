"""Which addresses a DNS answer gives for the name that was asked for (RFC 1035, RFC 3596).

Reads one message as it goes over UDP, and never more steps than it has bytes. Must not keep
anything between messages, nor judge whether an answer is true.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

_HEADER_BYTES = 12
_IS_ANSWER = 0x8000
_OPCODE_AND_RCODE = 0x780F
_A, _AAAA = 1, 28
_INTERNET = 1
_MAX_NAME_BYTES = 255
# A name that fits into 255 bytes has at most 127 labels, each of which may be pointed at.
_MAX_JUMPS = 127


@dataclass(frozen=True, slots=True)
class DnsAnswer:
    """The name of the question, in lower case and without the last dot, and its addresses."""

    name: str
    addresses: tuple[str, ...]


def parse_dns_answer(message: bytes) -> DnsAnswer | None:
    """Return what `message` says; None if it is no successful answer to one question.

    All addresses of the answer section count, whatever name they stand under: behind the question
    are its aliases. Of a message that is cut off, what is whole counts.
    """
    if len(message) < _HEADER_BYTES:
        return None
    flags, questions, answers = (_number(message, at, 2) for at in (2, 4, 6))
    if not flags & _IS_ANSWER or flags & _OPCODE_AND_RCODE or questions != 1:
        return None
    name, at = _name_at(message, _HEADER_BYTES)
    if not name or at + 4 > len(message):
        return None
    addresses = _addresses(message, at + 4, answers)
    return DnsAnswer(name.lower(), addresses) if addresses else None


def _addresses(message: bytes, at: int, records: int) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for _ in range(records):
        at = _after_name(message, at)
        if at + 10 > len(message):
            break
        kind, family = _number(message, at, 2), _number(message, at + 2, 2)
        data_at = at + 10
        at = data_at + _number(message, at + 8, 2)
        if at > len(message):
            break
        data = message[data_at:at]
        if family == _INTERNET and (kind, len(data)) in {(_A, 4), (_AAAA, 16)}:
            found[str(ipaddress.ip_address(data))] = None
    return tuple(found)


def _number(message: bytes, at: int, size: int) -> int:
    return int.from_bytes(message[at : at + size], "big")


def _after_name(message: bytes, at: int) -> int:
    while at < len(message):
        length = message[at]
        if length >= 0xC0:
            return at + 2
        at += 1 + length
        if not length:
            return at
    return len(message)


def _name_at(message: bytes, start: int) -> tuple[str, int]:
    """Return the name at `start`, "" if it is broken, and where it ends."""
    labels: list[bytes] = []
    at, size, jumps = start, 0, 0
    while at < len(message):
        length = message[at]
        if length >= 0xC0:
            at, jumps = _number(message, at, 2) & 0x3FFF, jumps + 1
            if jumps > _MAX_JUMPS:
                break
            continue
        label = message[at + 1 : at + 1 + length]
        size += 1 + length
        if length > 63 or len(label) < length or size > _MAX_NAME_BYTES:
            break
        if not length:
            return b".".join(labels).decode("ascii", "backslashreplace"), _after_name(
                message, start
            )
        labels.append(label)
        at += 1 + length
    return "", len(message)
