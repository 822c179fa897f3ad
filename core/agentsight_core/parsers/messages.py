"""What the parsers say: HTTP messages, and the one message for bytes that break their format.

Must not parse anything. Outcome and direction are the enumerations of the wire schema.
"""

from __future__ import annotations

import enum

import msgspec

from agentsight_core.pb import events_pb2 as pb

Headers = tuple[tuple[str, str], ...]


class Role(enum.Enum):
    """Which end of an HTTP connection is watched."""

    UNKNOWN = "unknown"
    CLIENT = "client"
    SERVER = "server"
    NOT_HTTP = "not_http"


class RequestStarted(msgspec.Struct, frozen=True, gc=False):
    """The head of a request; `time_ns` is when its first byte was written or read."""

    exchange: int
    time_ns: int
    method: str
    target: str
    # "1.0" or "1.1"
    version: str
    # Names in lower case, values decoded as latin-1, in wire order.
    headers: Headers


class ResponseStarted(msgspec.Struct, frozen=True, gc=False):
    """The head of a final response (interim 1xx ones give no message)."""

    exchange: int
    time_ns: int
    status: int
    headers: Headers


class BodyPart(msgspec.Struct, frozen=True, gc=False):
    """The next stretch of a body, transfer and content codings undone; never empty.

    The bytes from `offsets[i]` to the next offset arrived at `times_ns[i]`; `offsets[0]` is 0.
    """

    exchange: int
    direction: pb.Direction
    data: bytes
    offsets: tuple[int, ...]
    times_ns: tuple[int, ...]


class ExchangeFinished(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Nothing more will be said about this exchange."""

    exchange: int
    time_ns: int
    outcome: pb.HttpOutcome
    # What was wrong, where; never holds content. "" when nothing was.
    error: str
    # Body bytes as on the wire, lost ones not counted.
    request_bytes: int
    response_bytes: int
    lost_bytes: int
    # Part of the body was not kept: it is longer than the cap, or its coding cannot be undone.
    request_truncated: bool
    response_truncated: bool
    # When the last byte of the request was seen; 0 if it never was.
    request_end_ns: int


HttpMessage = RequestStarted | ResponseStarted | BodyPart | ExchangeFinished


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """`length` bytes at `offset` of the stream break the format and were skipped."""

    offset: int
    length: int
    reason: str
