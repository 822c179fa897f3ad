"""permessage-deflate (RFC 7692) undone, message by message; output is bounded.

Must not know frames.
"""

from __future__ import annotations

import zlib

CUT = "the message is longer than the configured cap"
_STEP_BYTES = 256 * 1024


class Inflater:
    """permessage-deflate of one direction; without `takeover` each message begins anew."""

    def __init__(self, limit_bytes: int, *, takeover: bool) -> None:
        self._limit_bytes = limit_bytes
        self._takeover = takeover
        self._inflate = zlib.decompressobj(-15)
        # What messages refer to has not been seen.
        self._torn = False

    def tear(self) -> None:
        """Note that a message was not seen whole."""
        self._torn = self._torn or self._takeover

    def inflate(self, data: bytes) -> tuple[bytes, str]:
        """Return the content of a message, and what is wrong with it or ""."""
        if self._torn:
            return b"", "what the compression refers to is missing"
        if not self._takeover:
            self._inflate = zlib.decompressobj(-15)
        out: list[bytes] = []
        size = 0
        rest = data + b"\x00\x00\xff\xff"
        try:
            while rest:
                step = self._inflate.decompress(rest, _STEP_BYTES)
                rest = self._inflate.unconsumed_tail
                if size < self._limit_bytes:
                    out.append(step[: self._limit_bytes - size])
                size += len(step)
                if self._inflate.eof:
                    # A final block: a sender may end it so, then the next one begins anew.
                    self._inflate = zlib.decompressobj(-15)
                    break
        except zlib.error:
            self._torn = self._takeover
            return b"".join(out), "the message cannot be inflated"
        return b"".join(out), CUT if size > self._limit_bytes else ""
