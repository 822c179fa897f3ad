"""The content of one body: its coding undone, its size bounded, every byte of it counted.

Must not know where the body ends: that is `framing`, or the frames of HTTP/2.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.parsers.accounts import UNWANTED_BODY, Accounts
from agentsight_core.parsers.codings import ContentDecoder
from agentsight_core.parsers.exchanges import OpenExchange, Progress
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import BodyPart
from agentsight_core.pb import events_pb2 as pb


class Content:
    """What one direction of an exchange has as its body."""

    def __init__(
        self,
        exchange: OpenExchange,
        direction: pb.Direction,
        decoder: ContentDecoder,
        accounts: Accounts,
    ) -> None:
        self._exchange = exchange
        self._direction = direction
        self._decoder = decoder
        self._accounts = accounts
        self._is_request = direction == pb.DIRECTION_REQUEST
        if decoder.error:
            exchange.note(f"{self._noun} body: {decoder.error}")
            self.progress.truncated = True

    @property
    def progress(self) -> Progress:
        """The progress of this direction of the exchange."""
        return self._exchange.request if self._is_request else self._exchange.response

    @property
    def _noun(self) -> str:
        return "request" if self._is_request else "response"

    def keep(self, inbox: Inbox, spans: Sequence[tuple[int, int]]) -> BodyPart | None:
        """Undo the coding of `spans` of the inbox, whose bytes are or will be counted as parsed."""
        wire_bytes = sum(end - start for start, end in spans)
        self.progress.bytes += wire_bytes
        decoder = self._decoder
        if not self._exchange.bodies_wanted:
            self._drop(wire_bytes, UNWANTED_BODY)
            return None
        if decoder.stopped:
            self._drop(wire_bytes)
            return None
        data, pieces = inbox.content(spans)
        content, (offsets, times_ns) = decoder.decode(data, *pieces)
        if decoder.truncated and decoder.is_identity:
            self._drop(wire_bytes - len(content))
        if decoder.truncated:
            self.progress.truncated = True
        if decoder.error:
            self.progress.truncated = True
            self._exchange.fail(pb.HTTP_OUTCOME_MALFORMED, f"{self._noun} body: {decoder.error}")
        if not content:
            return None
        return BodyPart(self._exchange.index, self._direction, content, offsets, times_ns)

    def lose(self) -> None:
        """Bytes of the body are missing: what is coded cannot be decoded any further."""
        if not self._decoder.is_identity:
            self._decoder.error = self._decoder.error or "bytes of the coded stream are missing"
            self.progress.truncated = True

    def end(self) -> None:
        """Say so if the coding of the body, which is over, is not."""
        if self._exchange.bodies_wanted and self._decoder.ended_early:
            self._exchange.note(f"{self._noun} body: the coded stream has no end")

    def _drop(self, count: int, reason: str = "") -> None:
        """Move `count` bytes from the parsed ones to the skipped ones."""
        reason = reason or ("undecodable" if self._decoder.error else "body_limit")
        self._accounts.skip(reason, count)
        self._accounts.bytes_parsed -= count
