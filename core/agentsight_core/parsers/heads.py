"""Message heads of HTTP/1.x (RFC 9112 sections 2 to 5), and where one could begin in unknown bytes.

Must not decide what follows a head: that is `framing`.
"""

from __future__ import annotations

import re

import msgspec

from agentsight_core.parsers.messages import Headers

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# The methods of the IANA registry that API and web clients use; others are accepted on a connection
# whose role is known, but do not make one.
_METHODS = rb"GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH|CONNECT|TRACE|PROPFIND|REPORT|QUERY"
_REQUEST_LINE = re.compile(rb"(%b{1,32}) +([^ \r\n]+) +HTTP/(1\.[01])[ \t]*" % _TOKEN)
_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) +([1-9][0-9]{2})(?: [^\r\n]*)?[ \t]*")
_FIELD = re.compile(rb"(%b+)[ \t]*:[ \t]*(.*)" % _TOKEN, re.DOTALL)
# A start line counts as plausible only together with what a head has next: a field, or its end.
_NEXT_LINE = rb"\r?\n(?:%b{1,256}:|\r?\n)" % _TOKEN
_PLAUSIBLE_REQUEST = re.compile(
    rb"(?:%b) [^ \x00-\x20]{1,65536} HTTP/1\.[01]%b" % (_METHODS, _NEXT_LINE)
)
_PLAUSIBLE_RESPONSE = re.compile(
    rb"HTTP/1\.[01] [1-5][0-9]{2}(?: [^\x00-\x08\r\n]{0,256})?" + _NEXT_LINE
)
_REQUEST_BEGINNING = re.compile(rb"(?:%b) [!-~]" % _METHODS)
_HEAD_END = re.compile(rb"\n\r?\n")
_MAX_FIELDS = 1000
# The longest method of the list, its space and one byte of the target.
_BEGINNING_BYTES = 10


class RequestHead(msgspec.Struct, frozen=True):
    """A parsed request head."""

    method: str
    target: str
    version: str
    headers: Headers


class ResponseHead(msgspec.Struct, frozen=True):
    """A parsed response head."""

    version: str
    status: int
    headers: Headers


def find_end(buffer: bytes | bytearray, start: int, scanned: int) -> int:
    """Return where the head that begins at `start` ends (behind its empty line), or -1.

    `scanned` is up to where an earlier call has looked. A bare LF ends a line too (RFC 9112
    section 2.2).
    """
    match = _HEAD_END.search(buffer, max(start, scanned - 3))
    return match.end() if match else -1


def parse_request(head: bytes) -> RequestHead | str:
    """Return the parsed `head` (with its empty line), or what is wrong with it."""
    lines = _lines(head)
    match = _REQUEST_LINE.fullmatch(lines[0])
    if not match:
        return "the request line is malformed"
    headers = _fields(lines[1:])
    if isinstance(headers, str):
        return headers
    method, target, version = (group.decode("latin-1") for group in match.groups())
    return RequestHead(method, target, version, headers)


def parse_response(head: bytes) -> ResponseHead | str:
    """Return the parsed `head` (with its empty line), or what is wrong with it."""
    lines = _lines(head)
    match = _STATUS_LINE.fullmatch(lines[0])
    if not match:
        return "the status line is malformed"
    headers = _fields(lines[1:])
    if isinstance(headers, str):
        return headers
    return ResponseHead(match[1].decode("latin-1"), int(match[2]), headers)


def _lines(head: bytes) -> list[bytes]:
    """Return the lines without line ends and without the final empty ones."""
    return [line.removesuffix(b"\r") for line in head.rstrip(b"\r\n").split(b"\n")]


def _fields(lines: list[bytes]) -> Headers | str:
    fields: list[tuple[str, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):  # obs-fold, RFC 9112 section 5.2
            if not fields:
                return "the first header line is a continuation"
            name, value = fields[-1]
            fields[-1] = (name, value + b" " + line.strip())
            continue
        match = _FIELD.fullmatch(line)
        if not match:
            return f"header line {len(fields) + 1} is malformed"
        fields.append((match[1].decode("ascii").lower(), match[2].rstrip()))
        if len(fields) > _MAX_FIELDS:
            return f"more than {_MAX_FIELDS} header fields"
    return tuple((name, value.decode("latin-1")) for name, value in fields)


def begins_request(buffer: bytes | bytearray, start: int) -> bool | None:
    """Say whether the bytes at `start` begin a request; None when there are too few to tell."""
    begin = bytes(buffer[start : start + _BEGINNING_BYTES])
    if _REQUEST_BEGINNING.match(begin):
        return True
    if len(begin) < _BEGINNING_BYTES and _could_become_request(begin):
        return None
    return False


def _could_become_request(begin: bytes) -> bool:
    return any((method + b" ").startswith(begin) for method in _METHODS.split(b"|"))


def begins_response(buffer: bytes | bytearray, start: int) -> bool | None:
    """Say whether the bytes at `start` begin a response; None when there are too few to tell."""
    begin = bytes(buffer[start : start + 7])
    if begin == b"HTTP/1.":
        return True
    return None if b"HTTP/1.".startswith(begin) else False


def find_plausible(buffer: bytes | bytearray, start: int, *, request: bool) -> int:
    """Return where at or behind `start` a head that looks real begins, or -1."""
    pattern = _PLAUSIBLE_REQUEST if request else _PLAUSIBLE_RESPONSE
    match = pattern.search(buffer, start)
    return match.start() if match else -1


def plausible_tail(buffer: bytes | bytearray, start: int, *, request: bool, limit: int) -> int:
    """Return from where a search without success must keep bytes, as a head may begin there.

    Never keeps more than `limit` bytes.
    """
    start = max(start, len(buffer) - limit)
    if not request:
        position = buffer.rfind(b"HTTP/1.", start)
        return position if position >= 0 else max(start, len(buffer) - 6)
    # A request line holds no line end, so only the last two lines can be the beginning of a head.
    line = buffer.rfind(b"\n", start)
    line = buffer.rfind(b"\n", start, line) if line >= start else line
    return max(start, line + 1)
