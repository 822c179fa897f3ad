"""Frames of WebSocket (RFC 6455 section 5): heads, masks, and whether frames follow each other.

Must not keep state.
"""

from __future__ import annotations

from typing import NamedTuple

from agentsight_core.parsers.framing import Buffer

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MAX_CONTROL_BYTES = 125
_MAX_PLAUSIBLE_BYTES = 1 << 24


class WebSocketHead(NamedTuple):
    """The beginning of a frame; `size` is its own length in bytes."""

    size: int
    final: bool
    compressed: bool
    opcode: int
    length: int
    # Four bytes, or none.
    key: bytes

    @property
    def is_control(self) -> bool:
        """Whether the frame is no part of a message."""
        return self.opcode >= CLOSE


def read_head(buffer: Buffer, start: int, *, masked: bool, deflate: bool) -> WebSocketHead | None:
    """Return the head at `start`, None if bytes are missing.

    Raises ValueError when it is none of a sender who masks (`masked`) and may compress (`deflate`).
    """
    if len(buffer) - start < 2:
        return None
    first, second = buffer[start], buffer[start + 1]
    opcode, length = first & 0x0F, second & 0x7F
    if first & (0x30 if deflate else 0x70):
        raise ValueError("a reserved bit is set")
    if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise ValueError("the opcode is unknown")
    if bool(second & 0x80) != masked:
        raise ValueError("a mask is missing" if masked else "a server's frame is masked")
    if opcode >= CLOSE and (length > _MAX_CONTROL_BYTES or not first & 0x80):
        raise ValueError("a control frame is long or in parts")
    extended = {126: 2, 127: 8}.get(length, 0)
    size = 2 + extended + 4 * masked
    if len(buffer) - start < size:
        return None
    if extended:
        length = int.from_bytes(buffer[start + 2 : start + 2 + extended], "big")
        if length < (126 if extended == 2 else 65536) or length >= 1 << 63:
            raise ValueError("a length is not in its shortest form")
    key = bytes(buffer[start + size - 4 : start + size]) if masked else b""
    return WebSocketHead(size, bool(first & 0x80), bool(first & 0x40), opcode, length, key)


def is_chain(buffer: Buffer, start: int, *, masked: bool, deflate: bool) -> bool:
    """Whether frames follow each other from `start` on: to the very end, or at least three."""
    count = 0
    while start < len(buffer) and count < 3:
        try:
            head = read_head(buffer, start, masked=masked, deflate=deflate)
        except ValueError:
            return False
        if head is None or head.length > _MAX_PLAUSIBLE_BYTES:
            return False
        start += head.size + head.length
        count += 1
    return count == 3 or (count > 0 and start == len(buffer))


def unmask(data: bytes, key: bytes, offset: int) -> bytes:
    """Return `data`, which begins at `offset` of its payload, without the mask."""
    if not key or not data:
        return data
    turn = offset % 4
    rotated = key[turn:] + key[:turn]
    mask = (rotated * (len(data) // 4 + 1))[: len(data)]
    whole = int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")
    return whole.to_bytes(len(data), "big")
