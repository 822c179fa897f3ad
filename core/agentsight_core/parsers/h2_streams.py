"""The open streams of an HTTP/2 connection, each of them one exchange.

Must not read frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsight_core.parsers.accounts import Accounts, HttpSettings
from agentsight_core.parsers.content import Content
from agentsight_core.parsers.exchanges import OpenExchange, OpenExchanges, Progress
from agentsight_core.parsers.grpc_messages import GrpcCounter
from agentsight_core.parsers.messages import HttpMessage
from agentsight_core.parsers.websocket import WebSocket
from agentsight_core.pb import events_pb2 as pb


@dataclass(slots=True)
class Half:
    """One direction of a stream; its head has been seen."""

    content: Content
    grpc: GrpcCounter | None = None


@dataclass(slots=True)
class Stream:
    """One stream, one exchange."""

    exchange: OpenExchange
    # Both appear with the head of their direction.
    request: Half | None = None
    response: Half | None = None
    # What has become of it, if the server agreed (RFC 8441).
    websocket: WebSocket | None = None
    # Frames of the request may be missing, and its end with them.
    request_torn: bool = False

    def half(self, direction: pb.Direction) -> Half | None:
        """Return what is known of a direction."""
        return self.request if direction == pb.DIRECTION_REQUEST else self.response

    def progress(self, direction: pb.Direction) -> Progress:
        """Return how far a direction has come."""
        exchange = self.exchange
        return exchange.request if direction == pb.DIRECTION_REQUEST else exchange.response

    def abort(self, outcome: pb.HttpOutcome, error: str, time_ns: int) -> None:
        """End both directions before their time."""
        exchange = self.exchange
        exchange.fail(outcome, error)
        exchange.end_ns = max(exchange.end_ns, time_ns)
        exchange.request.done = exchange.response.done = True

    def settle(self) -> None:
        """Note what is known at the end of the stream, or once its response is over."""
        exchange = self.exchange
        if self.request_torn and exchange.response.done:
            exchange.request.done = True
        if exchange.request.done and exchange.response.done:
            self.note_messages()

    def note_messages(self) -> None:
        """Note how many gRPC messages there were."""
        exchange = self.exchange
        for noun, half in (("request", self.request), ("response", self.response)):
            if half is None or half.grpc is None:
                continue
            if half.grpc.error:
                exchange.note(f"{noun}: gRPC messages cannot be counted: {half.grpc.error}")
            elif half.grpc.is_within:
                exchange.note(f"{noun}: the last gRPC message has no end")
            if noun == "request":
                exchange.request_messages = half.grpc.messages
            else:
                exchange.response_messages = half.grpc.messages


@dataclass(slots=True)
class Streams:
    """What the two directions of one connection share."""

    settings: HttpSettings
    accounts: Accounts
    exchanges: OpenExchanges
    out: list[HttpMessage] = field(default_factory=list)
    open: dict[int, Stream] = field(default_factory=dict)
    # The newest stream that a request has opened.
    highest: int = 0
    # Frames of requests are missing: streams that are not open may never have been seen.
    requests_torn: bool = False

    def begin(self, stream_id: int, time_ns: int) -> Stream:
        """Open the exchange of a stream."""
        stream = Stream(self.exchanges.begin())
        stream.exchange.start_ns = time_ns
        self.open[stream_id] = stream
        self.highest = max(self.highest, stream_id)
        return stream

    def emit_finished(self) -> None:
        """Say which exchanges have ended, and forget their streams."""
        for stream in self.open.values():
            exchange = stream.exchange
            if stream.websocket is not None and exchange.request.done and exchange.response.done:
                self.out += stream.websocket.close()
                stream.websocket = None
        finished = self.exchanges.take_finished()
        if not finished:
            return
        self.out += finished
        gone = {message.exchange for message in finished}
        for stream_id in [key for key, one in self.open.items() if one.exchange.index in gone]:
            del self.open[stream_id]
