"""The request direction of an HTTP/1 connection.

Must not know responses, except whether one has made the rest of a request unnecessary.
"""

from __future__ import annotations

from agentsight_core.parsers.exchanges import OpenExchange, Progress
from agentsight_core.parsers.framing import expects_continue, request_body
from agentsight_core.parsers.heads import begins_request, parse_request
from agentsight_core.parsers.messages import RequestStarted
from agentsight_core.parsers.side import Side
from agentsight_core.parsers.websocket import asks_for_websocket
from agentsight_core.pb import events_pb2 as pb


class RequestSide(Side):
    """Reads requests; each one opens an exchange."""

    direction = pb.DIRECTION_REQUEST
    noun = "request"

    def progress_of(self, exchange: OpenExchange) -> Progress:
        """See `Side`."""
        return exchange.request

    def set_end(self, exchange: OpenExchange, time_ns: int) -> None:
        """See `Side`."""
        exchange.request_end_ns = time_ns

    def _step_head(self) -> bool:
        if self._may_be_upgraded():
            return False
        head = self.take_head()
        if head is None:
            return self.searching
        start_ns, end, raw = head
        request = parse_request(raw)
        if isinstance(request, str):
            self.reject_head()
            return True
        self.take(end)
        exchange = self._shared.exchanges.begin()
        exchange.start_ns = start_ns
        exchange.method = request.method
        exchange.may_upgrade = request.method == "CONNECT" or any(
            name == "upgrade" for name, _ in request.headers
        )
        exchange.asks_for_websocket = asks_for_websocket(request.headers)
        exchange.expects_continue = expects_continue(request.headers)
        self._shared.out.append(
            RequestStarted(
                exchange=exchange.index,
                time_ns=start_ns,
                method=request.method,
                target=request.target,
                version=request.version,
                headers=request.headers,
            )
        )
        self.begin(exchange, request.headers, request_body(request))
        self._shared.emit_finished()
        return True

    def _may_be_upgraded(self) -> bool:
        """Whether what follows may not be HTTP: the response to the last request will tell."""
        last = self._shared.exchanges.last()
        if last is None or not last.may_upgrade or last.response.started:
            return False
        if self.inbox.held_bytes > self._shared.settings.max_head_bytes:
            last.may_upgrade = False
        return last.may_upgrade

    def _step_body(self) -> bool:
        exchange = self.exchange
        assert exchange is not None
        if exchange.expects_continue and exchange.response.done and not exchange.request.bytes:
            # The server refused before the body was sent: a new request may follow instead of it
            # (RFC 9110 section 10.1.1).
            begins = begins_request(self.inbox.buffer, self.inbox.position)
            if begins is None:
                return False
            if begins:
                self.end()
                self._shared.emit_finished()
                return True
        return super()._step_body()
