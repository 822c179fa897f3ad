"""What both directions of an HTTP/1 connection share: bodies, gaps, the search for a way back.

Must not know how a request or a response begins: that is in `requests` and `responses`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from agentsight_core.parsers.accounts import Accounts, HttpSettings
from agentsight_core.parsers.codings import ContentDecoder
from agentsight_core.parsers.content import Content
from agentsight_core.parsers.exchanges import OpenExchange, OpenExchanges, Progress
from agentsight_core.parsers.framing import Body, body_codings
from agentsight_core.parsers.heads import find_end, find_plausible, plausible_tail
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import BodyPart, Headers, HttpMessage
from agentsight_core.parsers.websocket import WebSocket
from agentsight_core.pb import events_pb2 as pb

# A start line longer than this is not found again when it comes in parts behind a gap.
SEARCH_TAIL_BYTES = 8 * 1024


class State(enum.Enum):
    """What a direction expects next."""

    HEAD = enum.auto()
    BODY = enum.auto()
    # The framing is lost: look for the next head.
    SEARCH = enum.auto()


@dataclass(slots=True)
class Shared:
    """What the two directions of one connection share."""

    settings: HttpSettings
    accounts: Accounts
    exchanges: OpenExchanges
    out: list[HttpMessage] = field(default_factory=list)
    # Both directions have left HTTP, for a WebSocket or for something that is not read.
    upgraded: bool = False
    websocket: WebSocket | None = None

    def emit_finished(self) -> None:
        """Say which exchanges have ended."""
        self.out += self.exchanges.take_finished()

    def take_upgraded(self, inbox: Inbox, direction: pb.Direction) -> None:
        """Take what came behind the last HTTP message."""
        start, end = inbox.position, len(inbox.buffer)
        inbox.position = end
        if self.websocket is None:
            self.accounts.skip("upgraded", end - start)
        elif end > start:
            data, pieces = inbox.content([(start, end)])
            self.out += self.websocket.reader(direction).feed(data, *pieces)
            if self.websocket.is_closed:
                self.end_websocket(inbox.last_ns)

    def end_websocket(self, time_ns: int) -> None:
        """End the WebSocket, and its exchange with it."""
        websocket, exchange = self.websocket, self.exchanges.last()
        if websocket is None or exchange is None:
            return
        self.websocket = None
        self.out += websocket.close()
        exchange.end_ns = max(exchange.end_ns, time_ns)
        exchange.request.done = exchange.response.done = True
        self.emit_finished()


class Side:
    """The requests or the responses of one connection."""

    direction: pb.Direction
    noun: str

    def __init__(self, inbox: Inbox, shared: Shared) -> None:
        self.inbox = inbox
        self.state = State.HEAD
        self.exchange: OpenExchange | None = None
        self._shared = shared
        self._accounts = shared.accounts
        self._body: Body | None = None
        self._content: Content | None = None
        self._search_reason = ""

    def step(self) -> bool:
        """Read the next thing; False when more bytes are needed."""
        if self._shared.upgraded:
            self._shared.take_upgraded(self.inbox, self.direction)
            return False
        if self.searching:
            return self.search_head()
        if self.state is State.BODY:
            return self._step_body()
        return self._step_head()

    def _step_head(self) -> bool:
        """Read a head; False when more bytes are needed."""
        raise NotImplementedError

    def _step_body(self) -> bool:
        """Read on in a body; False when more bytes are needed."""
        part = self.read_body()
        if part is not None:
            self._shared.out.append(part)
        if self.state is State.BODY:
            return False
        self._shared.emit_finished()
        return True

    @property
    def searching(self) -> bool:
        """Whether the framing is lost."""
        return self.state is State.SEARCH

    def is_within_body(self, count: int) -> bool:
        """Whether the next `count` bytes are inside of a body that goes on behind them."""
        return self.state is State.BODY and self._body is not None and self._body.lasts(count)

    @property
    def progress(self) -> Progress:
        """The progress of this direction of the current exchange."""
        assert self.exchange is not None
        return self.progress_of(self.exchange)

    def progress_of(self, exchange: OpenExchange) -> Progress:
        """Return the progress of this direction of `exchange`."""
        raise NotImplementedError

    def take(self, position: int) -> None:
        """Count everything up to `position` as understood."""
        self._accounts.bytes_parsed += position - self.inbox.position
        self.inbox.position = position

    def skip(self, reason: str, position: int | None = None) -> None:
        """Count everything up to `position` (default: all that is there) as of no use."""
        end = len(self.inbox.buffer) if position is None else position
        self._accounts.skip(reason, end - self.inbox.position)
        self.inbox.position = end

    def take_head(self) -> tuple[int, int, bytes] | None:
        """Return (time, end, bytes) of the head that is next; None if it is not complete.

        Line ends before a head are skipped (RFC 9112 section 2.2).
        """
        inbox, limit = self.inbox, self._shared.settings.max_head_bytes
        buffer = inbox.buffer
        start = inbox.position
        while start < len(buffer) and buffer[start] in b"\r\n":
            start += 1
        self.take(start)
        end = find_end(buffer, start, inbox.scanned)
        inbox.scanned = len(buffer) if end < 0 else end
        if (inbox.held_bytes if end < 0 else end - start) > limit:
            self.reject_head("head_limit")
            return None
        return (inbox.time(), end, bytes(buffer[start:end])) if end >= 0 else None

    def reject_head(self, reason: str = "malformed_head") -> None:
        """Look for a head behind the next byte: what begins there is none."""
        self.skip(reason, self.inbox.position + 1)
        self.inbox.scanned = 0
        self.search(reason)
        self._shared.exchanges.lost()

    def begin(self, exchange: OpenExchange, headers: Headers, body: Body | str | None) -> None:
        """Go on with the body behind a head with `headers`."""
        self.exchange = exchange
        self.progress.started = True
        limit = self._shared.settings.max_body_bytes
        self._body = self._content = None
        decoder = ContentDecoder(body_codings(headers), limit)
        if isinstance(body, str):
            self.break_off(pb.HTTP_OUTCOME_MALFORMED, body, "malformed_head")
        elif body is None:
            self.end()
        else:
            self._body = body
            self._content = Content(exchange, self.direction, decoder, self._accounts)
            self.state = State.BODY

    def end(self) -> None:
        """Finish the current message; the next head follows."""
        exchange, self.exchange = self.exchange, None
        assert exchange is not None
        self.progress_of(exchange).done = True
        self.set_end(exchange, self.inbox.time_before(self.inbox.position))
        if self._content is not None:
            self._content.end()
        self._body = self._content = None
        self.state = State.HEAD

    def set_end(self, exchange: OpenExchange, time_ns: int) -> None:
        """Record when this direction of `exchange` ended."""
        raise NotImplementedError

    def break_off(self, outcome: pb.HttpOutcome, error: str, reason: str) -> None:
        """Give the current message up: its framing is lost. Skipped bytes count as `reason`."""
        assert self.exchange is not None
        self.exchange.fail(outcome, f"{self.noun}: {error}")
        self.progress.done = True
        self.exchange.end_ns = max(self.exchange.end_ns, self.inbox.last_ns)
        self.exchange = self._body = self._content = None
        self.search(reason)

    def search(self, reason: str) -> None:
        """Look for the next head from here on."""
        self.state = State.SEARCH
        self._search_reason = reason

    def search_head(self) -> bool:
        """Skip to the next head that looks real; False when there is none yet."""
        inbox = self.inbox
        request = self.direction == pb.DIRECTION_REQUEST
        found = find_plausible(inbox.buffer, inbox.position, request=request)
        if found < 0:
            tail = plausible_tail(
                inbox.buffer, inbox.position, request=request, limit=SEARCH_TAIL_BYTES
            )
            self.skip(self._search_reason, tail)
            return False
        self.skip(self._search_reason, found)
        self.state = State.HEAD
        return True

    def read_body(self) -> BodyPart | None:
        """Read on in the current body; `state` tells afterwards whether it is over."""
        assert self._body is not None
        assert self._content is not None
        inbox = self.inbox
        taken = self._body.take(inbox.buffer, inbox.position)
        part = self._content.keep(inbox, taken.spans) if taken.spans else None
        self.take(taken.position)
        if taken.error:
            self.break_off(pb.HTTP_OUTCOME_MALFORMED, taken.error, "malformed_body")
        elif taken.done:
            self.end()
        return part

    def lose(self, lost: int) -> bool:
        """Go on although `lost` bytes (-1: nobody knows how many) are missing here.

        Returns whether whole messages may be among them.
        """
        if self._shared.upgraded:
            if self._shared.websocket is not None:
                self._shared.out += self._shared.websocket.reader(self.direction).lose(lost)
            return False
        self.skip("gap")
        self.inbox.release()
        if self.state is not State.BODY:
            self.search("gap")
            return True
        assert self._body is not None
        assert self.exchange is not None
        exchange, at = self.exchange, self.progress.bytes
        beyond = self._body.skip(lost)
        if beyond == 0 and lost > 0:
            exchange.lost_bytes += lost
        elif beyond > 0:
            exchange.lost_bytes += lost - beyond
        count = "an unknown number of" if lost < 0 else str(lost)
        error = f"{count} bytes are missing at offset {at} of the body"
        if beyond:
            self.break_off(pb.HTTP_OUTCOME_GAP, error, "gap")
            return True
        exchange.fail(pb.HTTP_OUTCOME_GAP, f"{self.noun}: {error}")
        assert self._content is not None
        self._content.lose()
        return False

    def close(self, *, regular: bool) -> None:
        """End what can end here; `regular`: the connection itself has ended."""
        if regular and self._body is not None and self._body.ends_with_connection:
            self.end()
        self.skip("unfinished")
        self.inbox.release()
