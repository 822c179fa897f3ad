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
    # "1.0", "1.1" or "2"
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
    # Fields behind the body of an HTTP/2 response: grpc-status…
    trailers: Headers = ()
    # Messages that the bodies are made of, where they are: gRPC, WebSocket.
    request_messages: int = 0
    response_messages: int = 0


class WebSocketKind(enum.Enum):
    """What a WebSocket message is."""

    TEXT = "text"
    BINARY = "binary"
    CLOSE = "close"


class WebSocketMessage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message of an exchange that has become a WebSocket, whole and inflated."""

    exchange: int
    direction: pb.Direction
    kind: WebSocketKind
    data: bytes
    # When its first and its last byte came.
    start_ns: int
    time_ns: int
    # Of a close: the code, 1005 when there is none (RFC 6455 section 7.1.5).
    close_code: int = 0
    # Why `data` is not the whole message; "" if it is.
    problem: str = ""


HttpMessage = RequestStarted | ResponseStarted | BodyPart | WebSocketMessage | ExchangeFinished


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """`length` bytes at `offset` of the stream break the format and were skipped."""

    offset: int
    length: int
    reason: str
