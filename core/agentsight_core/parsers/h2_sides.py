"""Requests and responses of HTTP/2 (RFC 9113 section 8): what their heads say.

Must not read frames.
"""

from __future__ import annotations

from agentsight_core.parsers import h2_frames as frames
from agentsight_core.parsers.codings import ContentDecoder
from agentsight_core.parsers.content import Content
from agentsight_core.parsers.exchanges import OpenExchange
from agentsight_core.parsers.framing import body_codings
from agentsight_core.parsers.grpc_messages import GrpcCounter, is_grpc
from agentsight_core.parsers.h2_frames import FrameHead
from agentsight_core.parsers.h2_headers import HeaderBlock
from agentsight_core.parsers.h2_side import H2Side
from agentsight_core.parsers.h2_streams import Half, Stream, Streams
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import Headers, RequestStarted, ResponseStarted
from agentsight_core.parsers.websocket import WebSocket, asks_for_websocket
from agentsight_core.pb import events_pb2 as pb


class H2Requests(H2Side):
    """Reads requests; each one opens a stream."""

    direction = pb.DIRECTION_REQUEST
    noun = "request"

    def may_read(self, head: FrameHead) -> bool:
        """See `H2Side`."""
        del head
        return True

    def set_end(self, exchange: OpenExchange, time_ns: int) -> None:
        """See `H2Side`."""
        exchange.request_end_ns = time_ns

    def take_block(self, head: FrameHead, block: HeaderBlock, time_ns: int) -> Stream | None:
        """See `H2Side`."""
        stream = self.streams.open.get(head.stream)
        if stream is not None:
            return stream  # Trailers, which carry nothing that is needed.
        if ":method" not in block.pseudo and not block.unknown and not block.error:
            return None  # Trailers of a request that is not open.
        stream = self.streams.begin(head.stream, time_ns)
        exchange = stream.exchange
        exchange.method = block.pseudo.get(":method", "")
        headers = _with_host(block)
        exchange.asks_for_websocket = asks_for_websocket(headers)
        stream.request = _half(self, stream, headers)
        exchange.request.started = True
        self.explain(block, exchange)
        self.streams.out.append(
            RequestStarted(
                exchange=exchange.index,
                time_ns=time_ns,
                method=exchange.method,
                target=block.pseudo.get(":path", block.pseudo.get(":authority", "")),
                version="2",
                headers=headers,
            )
        )
        return stream

    def take_goaway(self, last_stream: int, error: str, time_ns: int) -> None:
        """See `H2Side`; a client says it of pushed streams only."""


class H2Responses(H2Side):
    """Reads responses; one that comes before its request waits, unless `take_early` is set."""

    direction = pb.DIRECTION_RESPONSE
    noun = "response"

    def __init__(self, inbox: Inbox, streams: Streams) -> None:
        super().__init__(inbox, streams)
        self.take_early = False
        # A response was held at the end of the last feed.
        self.waiting = False

    def drain(self) -> None:
        """See `H2Side`."""
        self.waiting = False
        super().drain()

    def may_read(self, head: FrameHead) -> bool:
        """See `H2Side`."""
        early = (
            head.kind == frames.HEADERS
            and head.stream % 2 == 1
            and head.stream > self.streams.highest
        )
        full = self.inbox.held_bytes > self.streams.settings.max_early_response_bytes
        self.waiting = early and not self.take_early and not full
        return not self.waiting

    def set_end(self, exchange: OpenExchange, time_ns: int) -> None:
        """See `H2Side`."""
        exchange.end_ns = time_ns

    def take_block(self, head: FrameHead, block: HeaderBlock, time_ns: int) -> Stream | None:
        """See `H2Side`."""
        stream = self.streams.open.get(head.stream)
        status = block.pseudo.get(":status", "")
        code = int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 0
        if stream is None:
            seen = head.stream <= self.streams.highest and not self.streams.requests_torn
            if seen or not code:
                return None
            stream = self._open_unrequested(head.stream, time_ns)
        if stream.exchange.response.started:
            stream.exchange.trailers = block.fields
            self.explain(block, stream.exchange)
            return stream
        if 100 <= code < 200:
            return None
        self._begin_response(stream, block, code, time_ns)
        return stream

    def _begin_response(
        self, stream: Stream, block: HeaderBlock, status: int, time_ns: int
    ) -> None:
        exchange = stream.exchange
        exchange.end_ns = time_ns
        exchange.response.started = True
        stream.response = _half(self, stream, block.fields)
        if exchange.asks_for_websocket and status == 200:
            exchange.fail(pb.HTTP_OUTCOME_UPGRADED, "")
            limit, accounts = self.streams.settings.max_body_bytes, self.streams.accounts
            stream.websocket = WebSocket(exchange, block.fields, limit, accounts)
        self.explain(block, exchange)
        self.streams.out.append(
            ResponseStarted(
                exchange=exchange.index, time_ns=time_ns, status=status, headers=block.fields
            )
        )

    def _open_unrequested(self, stream_id: int, time_ns: int) -> Stream:
        """Open a stream whose request was never seen."""
        stream = self.streams.begin(stream_id, time_ns)
        exchange = stream.exchange
        exchange.request.started = exchange.request.done = True
        exchange.fail(pb.HTTP_OUTCOME_GAP, "the request is missing from the capture")
        return stream

    def take_goaway(self, last_stream: int, error: str, time_ns: int) -> None:
        """See `H2Side`: streams beyond the last one were not processed."""
        for stream_id, stream in self.streams.open.items():
            if stream_id > last_stream and not stream.exchange.response.done:
                words = f"the server did not process the request (GOAWAY: {error})"
                stream.abort(pb.HTTP_OUTCOME_ABORTED, words, time_ns)
                stream.settle()


def _half(side: H2Side, stream: Stream, headers: Headers) -> Half:
    limit = side.streams.settings.max_body_bytes
    decoder = ContentDecoder(body_codings(headers), limit)
    content = Content(stream.exchange, side.direction, decoder, side.streams.accounts)
    return Half(content, GrpcCounter() if is_grpc(headers) else None)


def _with_host(block: HeaderBlock) -> Headers:
    """Return the fields of a request; the authority as Host, as in HTTP/1 (RFC 9113, 8.3.1)."""
    fields = block.fields
    authority = block.pseudo.get(":authority", "")
    if authority and not any(name == "host" for name, _ in fields):
        fields = (("host", authority), *fields)
    if ":protocol" in block.pseudo:
        fields = (*fields, (":protocol", block.pseudo[":protocol"]))
    return fields
