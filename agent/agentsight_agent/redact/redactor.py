"""What leaves the node of an HTTP message or a command line, by capture mode.

Must not let content through when something goes wrong: then it is dropped and counted, and only
the metadata goes on.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec
from agentsight_core.parsers.jsonrpc import envelope
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    Headers,
    HttpMessage,
    RequestStarted,
    ResponseStarted,
    WebSocketMessage,
)
from agentsight_core.pb import events_pb2 as pb

from agentsight_agent.redact.arguments import is_suspicious, redact_arguments
from agentsight_agent.redact.headers import is_credential, is_metadata
from agentsight_agent.redact.rules import Scanner
from agentsight_agent.redact.text import Replacement, TextRedactor

DROPPED = "<dropped>"
_QUERY_SECRET = re.compile(
    r"([?&](?:key|code|sig|auth|(?:[a-z0-9-]+[_-])?(?:token|secret|password|signature|credential"
    r"|api[_-]?key|apikey|access[_-]?key))=)([^&#<][^&#]*)",
    re.IGNORECASE,
)


class CaptureMode(enum.Enum):
    """How much of what an agent says leaves its node."""

    # No HTTP at all.
    NONE = "none"
    # No bodies, no query strings, and of the headers only those that say nothing of content.
    METADATA = "metadata"
    # Everything but credentials.
    REDACTED = "redacted"
    # Everything.
    FULL = "full"


# From the strictest on.
_ORDER = tuple(CaptureMode)


@dataclass(slots=True)
class _Exchange:
    """What one open exchange may give: never more than when it began."""

    mode: CaptureMode
    # The mode has become stricter since it began.
    tightened: bool = False
    # Directions of which the rest of the body was dropped for that.
    cut: set[int] = field(default_factory=set)


class Redactor:
    """Redacts the messages of all connections of an agent.

    `key` keys the hashes that replace credentials: the same credential gives the same hash
    wherever it occurs under the same key, and without the key a hash tells nothing.
    """

    def __init__(self, mode: CaptureMode, key: bytes, scanner: Scanner | None = None) -> None:
        self._mode = mode
        self._scanner = scanner or Scanner()
        self._replace = Replacement(key)
        # (connection, exchange, direction); None: its redaction has failed, all of it is dropped.
        self._bodies: dict[tuple[Hashable, int, int], TextRedactor | None] = {}
        self._exchanges: dict[tuple[Hashable, int], _Exchange] = {}
        # Body bytes that were not given on, by reason ("mode", "failed").
        self.dropped_bytes: dict[str, int] = {}
        # How often something raised and content was dropped instead of redacted.
        self.failures = 0

    @property
    def redactions(self) -> dict[str, int]:
        """How many credentials were replaced, by rule."""
        return self._replace.counts

    @property
    def held_bytes(self) -> int:
        """Body bytes that wait for the next part, as a credential may begin in them."""
        return sum(body.held_bytes for body in self._bodies.values() if body is not None)

    def message(self, stream_key: Hashable, message: HttpMessage) -> list[HttpMessage]:
        """Return what may leave of `message`, of the connection `stream_key`.

        The end of a body may come only with the end of its exchange.
        """
        exchange = self._exchange(stream_key, message)
        if isinstance(message, ExchangeFinished):
            del self._exchanges[stream_key, message.exchange]
            if message.trailers and exchange.mode is not CaptureMode.FULL:
                trailers = self._headers(exchange.mode, message.trailers)
                message = msgspec.structs.replace(message, trailers=trailers)
        match message:
            case BodyPart():
                return self._body_part(stream_key, exchange, message)
            case WebSocketMessage():
                return self._websocket(exchange.mode, message)
            case ExchangeFinished() if exchange.tightened:
                return self._finish_cut(stream_key, exchange, message)
            case ExchangeFinished():
                return (
                    [] if exchange.mode is CaptureMode.NONE else self._finish(stream_key, message)
                )
            case RequestStarted() | ResponseStarted():
                return self._head(exchange.mode, message)
            case _:
                assert_never(message)

    def set_mode(self, mode: CaptureMode) -> None:
        """Let out as much as `mode` allows: less at once, more from the next exchange on.

        What began under a stricter mode stays under it: a credential whose first half was dropped
        could not be recognized by its second half.
        """
        self._mode = mode

    def _exchange(self, stream_key: Hashable, message: HttpMessage) -> _Exchange:
        key = (stream_key, message.exchange)
        exchange = self._exchanges.get(key)
        if exchange is None:
            exchange = self._exchanges[key] = _Exchange(self._mode)
        elif _ORDER.index(self._mode) < _ORDER.index(exchange.mode):
            exchange.mode, exchange.tightened = self._mode, True
        return exchange

    def _head(
        self, mode: CaptureMode, message: RequestStarted | ResponseStarted
    ) -> list[HttpMessage]:
        if mode is CaptureMode.NONE:
            return []
        if mode is CaptureMode.FULL:
            return [message]
        if isinstance(message, RequestStarted):
            return [self._request(mode, message)]
        headers = self._headers(mode, message.headers)
        return [msgspec.structs.replace(message, headers=headers)]

    def _body_part(
        self, stream_key: Hashable, exchange: _Exchange, part: BodyPart
    ) -> list[HttpMessage]:
        if exchange.mode is CaptureMode.FULL:
            return [part]
        if exchange.mode is CaptureMode.REDACTED:
            return self._body(stream_key, part)
        self._drop("mode", len(part.data))
        if exchange.tightened:
            exchange.cut.add(part.direction)
        return []

    def _finish_cut(
        self, stream_key: Hashable, exchange: _Exchange, message: ExchangeFinished
    ) -> list[HttpMessage]:
        """End an exchange whose mode became stricter on the way: bodies may have lost their end."""
        if exchange.mode is CaptureMode.REDACTED:
            return self._finish(stream_key, message)
        for direction in (pb.DIRECTION_REQUEST, pb.DIRECTION_RESPONSE):
            body = self._bodies.pop((stream_key, message.exchange, direction), None)
            if body is not None and body.held_bytes:
                self._drop("mode", body.held_bytes)
                exchange.cut.add(direction)
        return [
            msgspec.structs.replace(
                message,
                request_truncated=message.request_truncated or pb.DIRECTION_REQUEST in exchange.cut,
                response_truncated=message.response_truncated
                or pb.DIRECTION_RESPONSE in exchange.cut,
            )
        ]

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Return the command line with credentials replaced, in all modes but full."""
        if self._mode is CaptureMode.FULL:
            return list(argv)
        try:
            # What is found in an argument is found in its line.
            lines = "\n".join(argv).encode("utf-8", "surrogateescape")
            if not is_suspicious(lines) and not self._scanner.is_suspicious(lines):
                return list(argv)
            return redact_arguments(argv, self._secret, self._text)
        except Exception:  # noqa: BLE001 - fails closed: no bug here may let a credential out
            self.failures += 1
            return [DROPPED for _ in argv]

    def rpc(self, data: bytes) -> bytes | None:
        """Return what may leave of a JSON-RPC message: its envelope if only metadata may.

        None: nothing may; b"" if the redaction has failed.
        """
        if self._mode is CaptureMode.METADATA:
            return envelope(data)
        return self.output(data)

    def output(self, data: bytes) -> bytes | None:
        """Return what may leave of a whole text; None: nothing; b"" if the redaction has failed."""
        if self._mode is CaptureMode.FULL:
            return data
        if self._mode is not CaptureMode.REDACTED:
            self._drop("mode", len(data))
            return None
        try:
            return self._bytes(data)
        except Exception:  # noqa: BLE001 - fails closed, see argv
            self.failures += 1
            self._drop("failed", len(data))
            return b""

    def _request(self, mode: CaptureMode, message: RequestStarted) -> RequestStarted:
        headers = self._headers(mode, message.headers)
        try:
            target = self._target(mode, message.target)
        except Exception:  # noqa: BLE001 - fails closed, see argv
            self.failures += 1
            target = DROPPED
        return msgspec.structs.replace(message, target=target, headers=headers)

    def _target(self, mode: CaptureMode, target: str) -> str:
        if mode is CaptureMode.METADATA:
            target = target.partition("?")[0]
        named = _QUERY_SECRET.sub(lambda found: found[1] + self._secret("query", found[2]), target)
        return self._text(named)

    def _headers(self, mode: CaptureMode, headers: Headers) -> Headers:
        try:
            return tuple(
                (name, self._header(name, value))
                for name, value in headers
                if mode is not CaptureMode.METADATA or is_metadata(name)
            )
        except Exception:  # noqa: BLE001 - fails closed, see argv
            self.failures += 1
            return tuple((name, DROPPED) for name, _ in headers)

    def _header(self, name: str, value: str) -> str:
        if not is_credential(name):
            return self._text(value)
        # The hash is that of the bare key, so that it is the same in a body.
        scheme, _, credential = value.partition(" ")
        bare = credential if scheme.lower() in ("bearer", "basic", "token") else value
        return self._secret(name, bare)

    def _secret(self, rule: str, value: str) -> str:
        return self._replace(rule, value.encode("utf-8", "surrogateescape")).decode()

    def _text(self, text: str) -> str:
        return self._bytes(text.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "surrogateescape"
        )

    def _bytes(self, data: bytes) -> bytes:
        return TextRedactor(self._scanner, self._replace).whole(data)

    def _websocket(self, mode: CaptureMode, message: WebSocketMessage) -> list[HttpMessage]:
        """Redact a message; without content it still tells its kind and its time."""
        if mode is CaptureMode.FULL:
            return [message]
        if mode is CaptureMode.NONE:
            self._drop("mode", len(message.data))
            return []
        if mode is CaptureMode.METADATA:
            self._drop("mode", len(message.data))
            return [msgspec.structs.replace(message, data=b"", problem="the mode keeps no content")]
        try:
            data = self._bytes(message.data)
        except Exception:  # noqa: BLE001 - fails closed, see argv
            self.failures += 1
            self._drop("failed", len(message.data))
            return [msgspec.structs.replace(message, data=b"", problem="the redaction failed")]
        return [msgspec.structs.replace(message, data=data)]

    def _body(self, stream_key: Hashable, part: BodyPart) -> list[HttpMessage]:
        key = (stream_key, part.exchange, part.direction)
        if key not in self._bodies:
            self._bodies[key] = TextRedactor(self._scanner, self._replace)
        body = self._bodies[key]
        if body is None:
            self._drop("failed", len(part.data))
            return []
        try:
            data, (offsets, times_ns) = body.feed(part.data, part.offsets, part.times_ns)
        except Exception:  # noqa: BLE001 - fails closed, see argv
            self._drop_body(key, body.held_bytes + len(part.data))
            return []
        return [BodyPart(part.exchange, part.direction, data, offsets, times_ns)] if data else []

    def _finish(self, stream_key: Hashable, message: ExchangeFinished) -> list[HttpMessage]:
        out: list[HttpMessage] = []
        failed = [
            self._flush(stream_key, message.exchange, direction, out)
            for direction in (pb.DIRECTION_REQUEST, pb.DIRECTION_RESPONSE)
        ]
        if any(failed):
            message = msgspec.structs.replace(
                message,
                error="; ".join(filter(None, (message.error, "the redaction of a body failed"))),
                request_truncated=message.request_truncated or failed[0],
                response_truncated=message.response_truncated or failed[1],
            )
        return [*out, message]

    def _flush(
        self, stream_key: Hashable, exchange: int, direction: pb.Direction, out: list[HttpMessage]
    ) -> bool:
        """Append the end of a body to `out`; return whether the body's redaction has failed."""
        key = (stream_key, exchange, direction)
        if key not in self._bodies:
            return False
        body = self._bodies[key]
        if body is not None:
            try:
                data, (offsets, times_ns) = body.flush()
            except Exception:  # noqa: BLE001 - fails closed, see argv
                self._drop_body(key, body.held_bytes)
            else:
                if data:
                    out.append(BodyPart(exchange, direction, data, offsets, times_ns))
        return self._bodies.pop(key) is None

    def _drop_body(self, key: tuple[Hashable, int, int], count: int) -> None:
        """Give up a body; what was given on before stays as it is."""
        self._bodies[key] = None
        self.failures += 1
        self._drop("failed", count)

    def _drop(self, reason: str, count: int) -> None:
        self.dropped_bytes[reason] = self.dropped_bytes.get(reason, 0) + count
