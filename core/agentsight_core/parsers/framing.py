"""Where a body ends and which bytes of it are content (RFC 9112 sections 6 and 7).

A body takes bytes of a buffer and says which stretches are content. Must not copy or decode them.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from agentsight_core.parsers.heads import RequestHead, ResponseHead
from agentsight_core.parsers.messages import Headers

Buffer = bytes | bytearray

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?")
# A chunk-size line is a few bytes; extensions may make it longer.
_MAX_CHUNK_LINE_BYTES = 16 * 1024
_MAX_TRAILER_BYTES = 64 * 1024
# A TLS record usually carries whole chunks, so after lost records a chunk begins right away. One
# with an extension is not taken for it: text that ends a line would do.
_RESUMED_CHUNK = re.compile(rb"(?:\r?\n)?[0-9A-Fa-f]{1,8}\r\n")
_RESUMED_CHUNK_BYTES = 32


class Taken(msgspec.Struct, gc=False):
    """What a body took from a buffer: all bytes up to `position`; `spans` of them are content."""

    position: int
    spans: list[tuple[int, int]]
    done: bool = False
    error: str = ""


class Body(Protocol):
    """The framing of one message body."""

    def take(self, buffer: Buffer, position: int) -> Taken:
        """Take what there is at `position`; bytes left there must be offered again with more."""
        ...

    def skip(self, lost: int) -> int:
        """`lost` bytes are missing (-1: nobody knows how many): stay in the frame if possible.

        Returns how many of them lie behind the end of the body, -1 when the frame is lost.
        """
        ...

    def lasts(self, count: int) -> bool:
        """Whether it is sure to go on behind the next `count` bytes."""
        ...

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the regular end of this body."""
        ...


class LengthBody:
    """A body of a known number of bytes."""

    ends_with_connection = False

    def __init__(self, length: int) -> None:
        self.remaining = length

    def take(self, buffer: Buffer, position: int) -> Taken:
        """See `Body`."""
        end = min(position + self.remaining, len(buffer))
        self.remaining -= end - position
        spans = [(position, end)] if end > position else []
        return Taken(end, spans, done=self.remaining == 0)

    def lasts(self, count: int) -> bool:
        """See `Body`."""
        return count < self.remaining

    def skip(self, lost: int) -> int:
        """See `Body`."""
        if lost < 0:
            return -1
        inside = min(lost, self.remaining)
        self.remaining -= inside
        return lost - inside


class CloseBody:
    """A body that lasts until the connection closes."""

    ends_with_connection = True

    def take(self, buffer: Buffer, position: int) -> Taken:
        """See `Body`."""
        end = len(buffer)
        return Taken(end, [(position, end)] if end > position else [])

    def lasts(self, count: int) -> bool:
        """See `Body`."""
        del count
        return True

    def skip(self, lost: int) -> int:
        """See `Body`: whatever is missing, what follows still belongs to the body."""
        del lost
        return 0


class ChunkedBody:
    """A body in chunks, with extensions and trailers (RFC 9112 section 7.1)."""

    ends_with_connection = False

    def __init__(self) -> None:
        # Bytes of the current chunk still to come; -1: its size line comes next.
        self._remaining = -1
        # The line end behind the current chunk's data comes next.
        self._line_end = False
        self._in_trailers = False
        self._trailer_bytes = 0
        # Bytes are missing: go on only where a chunk plainly begins.
        self._after_gap = False

    def take(self, buffer: Buffer, position: int) -> Taken:
        """See `Body`."""
        taken = Taken(position, [])
        end = len(buffer)
        if self._after_gap and not self._resume(buffer, taken):
            return taken
        while not (taken.done or taken.error or self._in_trailers):
            if self._remaining > 0:
                stop = min(taken.position + self._remaining, end)
                if stop == taken.position:
                    return taken
                taken.spans.append((taken.position, stop))
                self._remaining -= stop - taken.position
                taken.position = stop
                self._line_end = self._remaining == 0
            elif self._line_end:
                if not self._take_line_end(buffer, taken):
                    return taken
            elif not self._take_size(buffer, taken):
                return taken
        if self._in_trailers:
            self._take_trailers(buffer, taken)
        return taken

    def _resume(self, buffer: Buffer, taken: Taken) -> bool:
        """Find the frame again behind a gap; False when more bytes are needed or it is lost."""
        if _RESUMED_CHUNK.match(buffer, taken.position):
            self._after_gap = False
            self._remaining = -1
            self._line_end = buffer[taken.position] in b"\r\n"
            return True
        if len(buffer) - taken.position >= _RESUMED_CHUNK_BYTES:
            taken.error = "after missing bytes no chunk begins"
        return False

    def _take_line_end(self, buffer: Buffer, taken: Taken) -> bool:
        """Take the line end behind a chunk; False when more bytes are needed."""
        follows = buffer[taken.position : taken.position + 2]
        if follows[:1] == b"\n":
            taken.position += 1
        elif follows == b"\r\n":
            taken.position += 2
        elif follows in (b"", b"\r"):
            return False
        else:
            taken.error = "a chunk is longer than its size says"
        self._line_end = False
        self._remaining = -1
        return True

    def _take_size(self, buffer: Buffer, taken: Taken) -> bool:
        """Take a chunk-size line; False when more bytes are needed."""
        line_end = buffer.find(b"\n", taken.position, taken.position + _MAX_CHUNK_LINE_BYTES)
        if line_end < 0:
            if len(buffer) - taken.position >= _MAX_CHUNK_LINE_BYTES:
                taken.error = f"a chunk-size line is longer than {_MAX_CHUNK_LINE_BYTES} bytes"
                return True
            return False
        match = _CHUNK_SIZE.fullmatch(buffer, taken.position, line_end)
        if not match:
            taken.error = "a chunk-size line is malformed"
            return True
        self._remaining = int(match[1], 16) or -1
        self._in_trailers = self._remaining < 0
        taken.position = line_end + 1
        return True

    def _take_trailers(self, buffer: Buffer, taken: Taken) -> None:
        """Take trailer lines up to the empty one; their fields carry nothing that is needed."""
        while True:
            line_end = buffer.find(b"\n", taken.position)
            if line_end < 0:
                if self._trailer_bytes + len(buffer) - taken.position > _MAX_TRAILER_BYTES:
                    taken.error = f"the trailers are longer than {_MAX_TRAILER_BYTES} bytes"
                return
            line_bytes = line_end - taken.position
            empty = line_bytes == 0 or buffer[taken.position : line_end] == b"\r"
            taken.position = line_end + 1
            self._trailer_bytes += line_bytes
            if empty:
                taken.done = True
                return
            if self._trailer_bytes > _MAX_TRAILER_BYTES:
                taken.error = f"the trailers are longer than {_MAX_TRAILER_BYTES} bytes"
                return

    def lasts(self, count: int) -> bool:
        """See `Body`."""
        return count < self._remaining and not self._after_gap

    def skip(self, lost: int) -> int:
        """See `Body`: a gap within a chunk leaves the frame intact, others may be resumed."""
        if 0 <= lost <= self._remaining and not self._after_gap:
            self._remaining -= lost
            self._line_end = self._remaining == 0
            return 0
        if self._in_trailers:
            return -1
        self._after_gap = True
        return 0


def request_body(head: RequestHead) -> Body | str | None:
    """Return the framing of a request's body, None if it has none, or what is wrong."""
    transfer = transfer_codings(head.headers)
    if transfer:
        if transfer[-1] == "chunked":
            return ChunkedBody()
        return "the last transfer coding of a request is not chunked"
    length = content_length(head.headers)
    if isinstance(length, str):
        return length
    return LengthBody(length) if length else None


def response_body(head: ResponseHead, method: str) -> Body | str | None:
    """Return the framing of the body of a response to `method`; see `request_body`."""
    if method == "HEAD" or head.status < 200 or head.status in (204, 304):
        return None
    transfer = transfer_codings(head.headers)
    if transfer:
        return ChunkedBody() if transfer[-1] == "chunked" else CloseBody()
    length = content_length(head.headers)
    if isinstance(length, str):
        return length
    if length is None:
        return CloseBody()
    return LengthBody(length) if length else None


def content_length(headers: Headers) -> int | str | None:
    """Return the value of Content-Length, None without one, or what is wrong with it.

    Equal values in a list count once (RFC 9112 section 6.3).
    """
    values = set(_list_values(headers, "content-length"))
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()) or len(value) > 18:
        return "Content-Length is malformed"
    return int(value)


def transfer_codings(headers: Headers) -> list[str]:
    """Return the transfer codings in the order in which they were applied."""
    return [value.lower() for value in _list_values(headers, "transfer-encoding")]


def body_codings(headers: Headers) -> list[str]:
    """Return all codings of the framed bytes in the order in which they were applied."""
    content = [value.lower() for value in _list_values(headers, "content-encoding")]
    return content + [name for name in transfer_codings(headers) if name != "chunked"]


def expects_continue(headers: Headers) -> bool:
    """Whether the sender waits for a 100 response before it sends the body."""
    return any(value.lower() == "100-continue" for value in _list_values(headers, "expect"))


def _list_values(headers: Headers, name: str) -> list[str]:
    return [
        item
        for key, value in headers
        if key == name
        for item in (part.strip() for part in value.split(","))
        if item
    ]
