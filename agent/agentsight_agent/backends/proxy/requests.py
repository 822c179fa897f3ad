"""Passes the requests of one connection on, with another Host: bytes in, bytes out.

Reads no more than the framing of HTTP/1.1 (RFC 9112) needs, so that a request goes on piece by
piece, and to the byte as the program wrote it. Pure.
"""

from __future__ import annotations

import re

_MAX_HEAD_BYTES = 256 * 1024
_MAX_LINE_BYTES = 8 * 1024
_LENGTH = re.compile(
    rb"^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*$", re.IGNORECASE | re.MULTILINE
)
_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:.*\bchunked[ \t]*$", re.IGNORECASE | re.MULTILINE)
_UPGRADE = re.compile(rb"^upgrade[ \t]*:", re.IGNORECASE | re.MULTILINE)
_HOST = re.compile(rb"^host[ \t]*:[^\n]*$", re.IGNORECASE | re.MULTILINE)
_REQUEST = re.compile(rb"^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP/1\.[01]$")


class NotHttpError(Exception):
    """The bytes are no HTTP/1 requests."""


class RequestStream:
    """The requests of one connection in their order."""

    def __init__(self, authority: str) -> None:
        self._host = b"Host: " + authority.encode()
        self._held = bytearray()
        # Bytes of a body or chunk that go on unread; None: all the rest of the connection.
        self._pass: int | None = 0
        self._in_chunks = False
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """Return what goes on now; a head is held until it is complete.

        Raises NotHttpError; nothing more can be passed on then.
        """
        self._held += data
        out = bytearray()
        while self._held:
            before = len(self._held)
            out += self._step()
            if len(self._held) == before:
                break
        return bytes(out)

    def _step(self) -> bytes:
        if self._pass is None:
            return self._take(len(self._held))
        if self._pass:
            piece = self._take(min(self._pass, len(self._held)))
            self._pass -= len(piece)
            return piece
        return self._chunk_line() if self._in_chunks else self._head()

    def _take(self, count: int) -> bytes:
        piece = bytes(self._held[:count])
        del self._held[:count]
        return piece

    def _head(self) -> bytes:
        # RFC 9112 2.2: empty lines before a request are to be ignored.
        while self._held[:2] == b"\r\n":
            del self._held[:2]
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            if len(self._held) > _MAX_HEAD_BYTES:
                raise NotHttpError("the head of a request is too long")
            first = self._held.partition(b"\r\n")
            if first[1]:
                _check(bytes(first[0]))
            return b""
        head = self._take(end + 4)
        line, _, fields = head.partition(b"\r\n")
        _check(line)
        # In `$` of a pattern a line ends before \n.
        plain = fields.replace(b"\r\n", b"\n")
        length = _LENGTH.search(plain)
        self._in_chunks = _CHUNKED.search(plain) is not None
        self._pass = int(length[1]) if length and not self._in_chunks else 0
        if _UPGRADE.search(plain):
            self._pass = None
        plain, found = _HOST.subn(lambda _: self._host, plain)
        if not found:
            plain = self._host + b"\n" + plain
        return line + b"\r\n" + plain.replace(b"\n", b"\r\n")

    def _chunk_line(self) -> bytes:
        """Pass on a line of chunked framing, and know how long the chunk behind it is."""
        end = self._held.find(b"\r\n")
        if end < 0:
            if len(self._held) > _MAX_LINE_BYTES:
                raise NotHttpError("a line of chunked framing is too long")
            return b""
        line = self._take(end + 2)
        if self._in_trailers:
            if line == b"\r\n":
                self._in_trailers = self._in_chunks = False
            return line
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise NotHttpError("a chunk has no size") from None
        if size < 0:
            raise NotHttpError("a chunk has no size")
        self._pass = size + 2 if size else 0
        self._in_trailers = not size
        return line


def _check(line: bytes) -> None:
    if not _REQUEST.match(line):
        raise NotHttpError("no request of HTTP/1")
