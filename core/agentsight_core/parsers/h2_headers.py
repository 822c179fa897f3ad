"""Header blocks of HTTP/2: HPACK (RFC 7541) that survives what was not seen.

Entries of the dynamic table count from the newest one. So after a gap, or on a connection that was
joined in its middle, what is added from then on can be read, and older entries are unknown: they
are counted, never guessed. Memory is bounded.
"""

from __future__ import annotations

import re

import hpack
import msgspec
from hpack.table import HeaderTable

from agentsight_core.parsers.messages import Headers

# The largest table that an encoder may choose; clients announce 4 KiB to 64 KiB.
_MAX_TABLE_BYTES = 1 << 20
_UNKNOWN = b"\x00"
# A block whose first field is one of the static table: 1 to 7 are of requests, 8 to 14 of responses
# (RFC 7541 appendix A). Size updates (0x20 to 0x3f) may come before.
_REQUEST_BLOCK = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f])*[\x81-\x87\x41-\x47]")
_RESPONSE_BLOCK = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f])*[\x88-\x8e\x48-\x4e]")
_ALSO_REQUEST = re.compile(rb"[\x01-\x07\x11-\x17]")
_ALSO_RESPONSE = re.compile(rb"[\x08-\x0e\x18-\x1e]")


class HeaderBlock(msgspec.Struct, frozen=True):
    """A decoded block."""

    # ":method", ":path", ":status"…; without those that are unknown.
    pseudo: dict[str, str]
    # Names in lower case, values decoded as latin-1, in wire order.
    fields: Headers
    # Fields that refer to table entries which were not seen.
    unknown: int = 0
    # Why the block, or its rest, cannot be read.
    error: str = ""


class _Table(HeaderTable):
    """A dynamic table whose oldest entries may not have been seen."""

    def get_by_index(self, index: int) -> tuple[bytes, bytes]:
        try:
            return super().get_by_index(index)
        except hpack.InvalidTableIndex:
            if index < 1:
                raise
            return _UNKNOWN, _UNKNOWN


class HeaderDecoder:
    """The header compression of one direction."""

    def __init__(self, max_block_bytes: int) -> None:
        # A block may refer to one long table entry over and over.
        self._max_list_bytes = 4 * max_block_bytes
        self._decoder = self._new_decoder()
        # Blocks were missed: unknown entries are no error of the peer.
        self.torn = False

    def _new_decoder(self) -> hpack.Decoder:
        decoder = hpack.Decoder(max_header_list_size=self._max_list_bytes)
        decoder.header_table = _Table()
        decoder.max_allowed_table_size = _MAX_TABLE_BYTES
        return decoder

    def forget(self) -> None:
        """Blocks are missing: what the table held until now cannot be told any more."""
        size = self._decoder.header_table_size
        self._decoder = self._new_decoder()
        self._decoder.header_table_size = max(size, 64 * 1024)
        self.torn = True

    def decode(self, block: bytes) -> HeaderBlock:
        """Return what `block` says."""
        try:
            decoded = self._decoder.decode(block, raw=True)
        except hpack.HPACKError as error:
            self.forget()
            return HeaderBlock({}, (), error=f"a header block is malformed: {error}")
        pseudo: dict[str, str] = {}
        fields: list[tuple[str, str]] = []
        unknown = 0
        for name, value in decoded:
            if _UNKNOWN in (name, value):
                unknown += 1
            elif name[:1] == b":":
                pseudo[name.decode("latin-1")] = value.decode("latin-1")
            else:
                fields.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        return HeaderBlock(pseudo, tuple(fields), unknown)


def side_of_block(block: bytes) -> bool | None:
    """Say whether a block is of a request (True) or of a response; None when it does not tell."""
    if _REQUEST_BLOCK.match(block) or _ALSO_REQUEST.match(block):
        return True
    if _RESPONSE_BLOCK.match(block) or _ALSO_RESPONSE.match(block):
        return False
    return None
