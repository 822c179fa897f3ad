"""Header blocks of one direction of HTTP/2, put together from HEADERS and CONTINUATION frames.

Must not know what a head says.
"""

from __future__ import annotations

from typing import NamedTuple

from agentsight_core.parsers import h2_frames as frames
from agentsight_core.parsers.h2_frames import FrameHead
from agentsight_core.parsers.h2_headers import HeaderBlock, HeaderDecoder


class Block(NamedTuple):
    """A whole header block, the frame that began it, and when that came."""

    head: FrameHead
    fields: HeaderBlock
    time_ns: int


class BlockReader:
    """Holds at most one block of `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._decoder = HeaderDecoder(max_bytes)
        # The frame whose block is not complete, when it came, and the block so far.
        self._head: FrameHead | None = None
        self._time_ns = 0
        self._data = b""

    @property
    def torn(self) -> bool:
        """Whether blocks were missed: later ones may refer to what nobody has seen."""
        return self._decoder.torn

    @property
    def is_within(self) -> bool:
        """Whether a CONTINUATION has to come next."""
        return self._head is not None

    def drop(self) -> None:
        """Give a block up, and with it what the table held."""
        self._head, self._data = None, b""
        self._decoder.forget()

    def take(self, head: FrameHead, payload: bytes, time_ns: int) -> Block | None:
        """Take a frame of the three kinds that carry blocks; return the block that it completes."""
        if head.kind == frames.CONTINUATION:
            if self._head is None or self._head.stream != head.stream:
                self.drop()
                return None
            self._data += payload
        else:
            fragment = _fragment(head, payload)
            if fragment is None:
                self.drop()
                return None
            self._head, self._time_ns, self._data = head, time_ns, fragment
        if len(self._data) > self._max_bytes:
            self.drop()
        elif head.flags & frames.END_HEADERS:
            return self._complete(self._head)
        return None

    def _complete(self, head: FrameHead) -> Block:
        data, self._head, self._data = self._data, None, b""
        return Block(head, self._decoder.decode(data), self._time_ns)


def _fragment(head: FrameHead, payload: bytes) -> bytes | None:
    """Return the part of a block that HEADERS or PUSH_PROMISE begin with; None: it is malformed."""
    fragment = frames.unpad(head, payload)
    if fragment is None:
        return None
    if head.kind == frames.PUSH_PROMISE:
        return fragment[4:]
    return fragment[5:] if head.flags & frames.HAS_PRIORITY else fragment
