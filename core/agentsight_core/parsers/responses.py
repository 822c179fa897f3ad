"""The response direction of an HTTP/1 connection.

Must not read requests: which one a response answers is asked of the open exchanges.
"""

from __future__ import annotations

from agentsight_core.parsers.exchanges import OpenExchange, Progress
from agentsight_core.parsers.framing import response_body
from agentsight_core.parsers.heads import ResponseHead, parse_response
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import ResponseStarted
from agentsight_core.parsers.side import Shared, Side, State
from agentsight_core.parsers.websocket import WebSocket
from agentsight_core.pb import events_pb2 as pb


class ResponseSide(Side):
    """Reads responses; one that comes before its request waits, unless `take_early` is set."""

    direction = pb.DIRECTION_RESPONSE
    noun = "response"

    def __init__(self, inbox: Inbox, shared: Shared) -> None:
        super().__init__(inbox, shared)
        self.take_early = False
        # A response was held at the end of the last feed.
        self.waiting = False

    @property
    def waits_for_request(self) -> bool:
        """Whether a response has come whose request was not seen yet."""
        return (
            self.state is State.HEAD
            and self.inbox.held_bytes > 0
            and self._shared.exchanges.awaiting() is None
        )

    def progress_of(self, exchange: OpenExchange) -> Progress:
        """See `Side`."""
        return exchange.response

    def set_end(self, exchange: OpenExchange, time_ns: int) -> None:
        """See `Side`."""
        exchange.end_ns = time_ns

    def reject_head(self, reason: str = "malformed_head") -> None:
        """See `Side`."""
        waiting = self._shared.exchanges.awaiting()
        if waiting is not None:
            waiting.note("something that is no response head came first")
        super().reject_head(reason)

    def _step_head(self) -> bool:
        early = self.take_early or (
            self.inbox.held_bytes > self._shared.settings.max_early_response_bytes
        )
        if self.waits_for_request and not early:
            return False
        head = self.take_head()
        if head is None:
            return self.searching
        start_ns, end, raw = head
        response = parse_response(raw)
        if isinstance(response, str):
            self.reject_head()
            return True
        if response.status < 200 and response.status != 101:
            self.take(end)  # an interim response: the final one follows
            return True
        exchange = self._shared.exchanges.match(start_ns)
        self._shared.emit_finished()
        if exchange is None:
            exchange = self._open_unrequested(start_ns)
        self.take(end)
        self._begin_response(exchange, response, start_ns)
        return True

    def _begin_response(
        self, exchange: OpenExchange, response: ResponseHead, start_ns: int
    ) -> None:
        self._shared.out.append(
            ResponseStarted(
                exchange=exchange.index,
                time_ns=start_ns,
                status=response.status,
                headers=response.headers,
            )
        )
        exchange.end_ns = start_ns
        tunnel = exchange.method == "CONNECT" and response.status // 100 == 2
        if response.status == 101 or tunnel:
            exchange.fail(pb.HTTP_OUTCOME_UPGRADED, "")
            exchange.response.started = True
            self._shared.upgraded = True
            if response.status == 101 and exchange.asks_for_websocket:
                limit = self._shared.settings.max_body_bytes
                self._shared.websocket = WebSocket(
                    exchange, response.headers, limit, self._shared.accounts
                )
            else:
                exchange.request.done = exchange.response.done = True
        else:
            self.begin(exchange, response.headers, response_body(response, exchange.method))
        self._shared.emit_finished()

    def _open_unrequested(self, start_ns: int) -> OpenExchange:
        """Open an exchange for a response whose request was never seen."""
        exchange = self._shared.exchanges.begin()
        exchange.start_ns = start_ns
        exchange.request.started = exchange.request.done = True
        exchange.fail(pb.HTTP_OUTCOME_GAP, "the request is missing from the capture")
        return exchange
