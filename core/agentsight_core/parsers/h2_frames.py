"""Frames of HTTP/2 (RFC 9113 section 4): their heads, and where one could begin in unknown bytes.

Must not know streams or header compression.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

Buffer = bytes | bytearray

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x4, 0x8, 0x20

# RFC 9113 section 7.
ERROR_NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)
# Lengths that these types must have.
_FIXED_BYTES = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_OF_CONNECTION = frozenset({SETTINGS, PING, GOAWAY})
_OF_STREAM = frozenset({DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION})
# What a frame is believed to have when it is searched for: more is allowed, nobody sends it.
_MAX_PLAUSIBLE_BYTES = 1 << 20
_KNOWN_FLAGS = {
    DATA: 0x09,
    HEADERS: 0x2D,
    PRIORITY: 0,
    RST_STREAM: 0,
    SETTINGS: 0x1,
    PUSH_PROMISE: 0x0C,
    PING: 0x1,
    GOAWAY: 0,
    WINDOW_UPDATE: 0,
    CONTINUATION: 0x4,
}
_CANDIDATE = re.compile(rb"(?=[\x00-\x0f]..[\x00-\x09][\x00-\x2d][\x00-\x7f]...)", re.DOTALL)
_FIELDS = struct.Struct(">BHBBI")


class FrameHead(NamedTuple):
    """The first nine bytes of a frame."""

    length: int
    kind: int
    flags: int
    stream: int

    @property
    def is_valid(self) -> bool:
        """Whether length and stream are such as the type must have."""
        kind = self.kind
        if kind == SETTINGS and self.length % 6:
            return False
        if self.stream == 0:
            return kind not in _OF_STREAM and self.length == _FIXED_BYTES.get(kind, self.length)
        return kind not in _OF_CONNECTION and self.length == _FIXED_BYTES.get(kind, self.length)

    @property
    def is_plausible(self) -> bool:
        """Whether this could be a frame, if it is not known to be one."""
        known = _KNOWN_FLAGS.get(self.kind)
        return (
            known is not None
            and self.flags & ~known == 0
            and self.length <= _MAX_PLAUSIBLE_BYTES
            and self.is_valid
        )


def read_head(buffer: Buffer, position: int) -> FrameHead:
    """Return the head at `position`; nine bytes must be there."""
    high, low, kind, flags, stream = _FIELDS.unpack_from(buffer, position)
    return FrameHead(high << 16 | low, kind, flags, stream & 0x7FFFFFFF)


def begins_settings(buffer: Buffer) -> bool | None:
    """Say whether `buffer` begins with the SETTINGS that open a connection; None: too few bytes."""
    if len(buffer) < HEADER_BYTES:
        return None if buffer[:1] in (b"", b"\0") else False
    head = read_head(buffer, 0)
    return head.kind == SETTINGS and head.flags == 0 and head.is_valid and head.length <= 600


def is_chain(buffer: Buffer, position: int = 0) -> bool:
    """Whether plausible frames follow each other from `position` on.

    They must end with the buffer, or there must be two heads.
    """
    heads = 0
    while position + HEADER_BYTES <= len(buffer):
        head = read_head(buffer, position)
        if not head.is_plausible:
            return False
        heads += 1
        position += HEADER_BYTES + head.length
        if heads > 3:
            return True
    return heads > 1 or (heads == 1 and position == len(buffer))


def find_frame(buffer: Buffer, start: int, is_expected: Callable[[FrameHead], bool]) -> int:
    """Return where at or behind `start` a frame begins, or -1.

    A head is believed if `is_expected` (of a plausible one) says so or if it begins a chain.
    """
    for match in _CANDIDATE.finditer(buffer, start):
        position = match.start()
        head = read_head(buffer, position)
        if head.is_plausible and (is_expected(head) or is_chain(buffer, position)):
            return position
    return -1


def unpad(head: FrameHead, payload: bytes) -> bytes | None:
    """Return a payload without padding; None when the padding is longer than the frame."""
    if not head.flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        return None
    return payload[1 : len(payload) - payload[0]]


def error_name(code: int) -> str:
    """Return the name of an error code."""
    return ERROR_NAMES[code] if code < len(ERROR_NAMES) else f"error {code:#x}"
