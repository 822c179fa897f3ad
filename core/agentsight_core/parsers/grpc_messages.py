"""gRPC's length-prefixed messages within a body, counted as they pass.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Must not copy or decompress
messages: what is in them is told by descriptors that are not on the wire.
"""

from __future__ import annotations

from agentsight_core.parsers.framing import Buffer
from agentsight_core.parsers.messages import Headers

# Compressed flag, then the length.
_PREFIX_BYTES = 5


def is_grpc(headers: Headers) -> bool:
    """Whether the content type says that the body is made of gRPC messages."""
    return any(
        name == "content-type"
        and (
            value == "application/grpc"
            or value.startswith(("application/grpc+", "application/grpc;"))
        )
        for name, value in headers
    )


class GrpcCounter:
    """Counts the messages of one direction of a call."""

    def __init__(self) -> None:
        # Messages that are complete.
        self.messages = 0
        # Why counting has stopped; "" while it goes on.
        self.error = ""
        self._prefix = b""
        self._left = 0

    @property
    def is_within(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._prefix) or self._left > 0

    def feed(self, buffer: Buffer, start: int, end: int) -> None:
        """Take the bytes of the body that lie at `start` to `end` of `buffer`."""
        while start < end and not self.error:
            if self._left:
                step = min(self._left, end - start)
                self._left -= step
                start += step
                if self._left == 0:
                    self.messages += 1
                continue
            step = min(_PREFIX_BYTES - len(self._prefix), end - start)
            self._prefix += bytes(buffer[start : start + step])
            start += step
            if len(self._prefix) == _PREFIX_BYTES:
                self._begin()

    def lose(self, count: int) -> None:
        """`count` bytes are missing (-1: nobody knows how many)."""
        if 0 <= count < self._left:
            self._left -= count
        else:
            self.error = self.error or "bytes are missing"

    def _begin(self) -> None:
        if self._prefix[0] > 1:
            self.error = "a compressed flag is neither 0 nor 1"
        self._left = int.from_bytes(self._prefix[1:], "big")
        self._prefix = b""
        if self._left == 0 and not self.error:
            self.messages += 1
