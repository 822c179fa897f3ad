"""The open exchanges of one HTTP connection: which response answers which request.

Must not read bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsight_core.parsers.messages import ExchangeFinished, Headers
from agentsight_core.pb import events_pb2 as pb


@dataclass(slots=True)
class Progress:
    """How far one direction of an exchange has come."""

    started: bool = False
    done: bool = False
    bytes: int = 0
    truncated: bool = False


@dataclass(slots=True)
class OpenExchange:
    """A request and its response, on their way."""

    index: int
    method: str = ""
    start_ns: int = 0
    end_ns: int = 0
    request_end_ns: int = 0
    lost_bytes: int = 0
    # The request asks to leave HTTP: what follows it is not HTTP if the response agrees.
    may_upgrade: bool = False
    # What the request asks for is a WebSocket.
    asks_for_websocket: bool = False
    # The request waits for a 100 response before it sends its body.
    expects_continue: bool = False
    request: Progress = field(default_factory=Progress)
    response: Progress = field(default_factory=Progress)
    outcome: pb.HttpOutcome = pb.HTTP_OUTCOME_COMPLETE
    errors: list[str] = field(default_factory=list)
    # Fields behind the body of the response.
    trailers: Headers = ()
    # False: its bodies are framed and counted, and nothing else.
    bodies_wanted: bool = True
    # Messages that the bodies are made of, where they are: gRPC, WebSocket.
    request_messages: int = 0
    response_messages: int = 0

    def fail(self, outcome: pb.HttpOutcome, error: str) -> None:
        """Record what went wrong; the first outcome stands, as the others follow from it."""
        if self.outcome == pb.HTTP_OUTCOME_COMPLETE:
            self.outcome = outcome
        self.note(error)

    def note(self, error: str) -> None:
        """Record something that a reader should know, once."""
        if error and error not in self.errors:
            self.errors.append(error)

    def finished(self) -> ExchangeFinished:
        """Return the last message about this exchange."""
        return ExchangeFinished(
            exchange=self.index,
            time_ns=max(self.end_ns, self.request_end_ns, self.start_ns),
            outcome=self.outcome,
            error="; ".join(self.errors),
            request_bytes=self.request.bytes,
            response_bytes=self.response.bytes,
            lost_bytes=self.lost_bytes,
            request_truncated=self.request.truncated,
            response_truncated=self.response.truncated,
            request_end_ns=self.request_end_ns,
            trailers=self.trailers,
            request_messages=self.request_messages,
            response_messages=self.response_messages,
        )


class OpenExchanges:
    """The exchanges of a connection that are not finished, oldest first, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[int, OpenExchange] = {}
        self._next_index = 0
        # Bytes are missing: the oldest request need not be the one that is answered next.
        self._uncertain = False

    def begin(self) -> OpenExchange:
        """Open the next exchange."""
        exchange = OpenExchange(self._next_index)
        self._open[exchange.index] = exchange
        self._next_index += 1
        return exchange

    def leave_bodies(self, index: int) -> None:
        """Make nothing more of the bodies of an exchange; of one that has ended there is none."""
        exchange = self._open.get(index)
        if exchange is not None:
            exchange.bodies_wanted = False

    def last(self) -> OpenExchange | None:
        """Return the newest open exchange."""
        return next(reversed(self._open.values()), None)

    def awaiting(self) -> OpenExchange | None:
        """Return the oldest exchange that has no response yet."""
        return next((each for each in self._open.values() if not each.response.started), None)

    def lost(self) -> None:
        """Whole messages may be missing: match the next response by time instead of by order."""
        self._uncertain = True

    def match(self, time_ns: int) -> OpenExchange | None:
        """Return the exchange that a response which begins at `time_ns` answers, if there is one.

        Responses come in the order of requests (RFC 9112 section 9.3.2). After a gap, pipelining is
        ruled out: the newest request before `time_ns` is meant, and older ones have lost theirs.
        """
        if not self._uncertain:
            return self.awaiting()
        waiting = [
            each
            for each in self._open.values()
            if not each.response.started and each.start_ns <= time_ns
        ]
        if not waiting:
            return None
        self._uncertain = False
        for older in waiting[:-1]:
            older.fail(pb.HTTP_OUTCOME_GAP, "the response is missing from the capture")
            older.request.done = older.response.done = True
        return waiting[-1]

    def take_finished(self) -> list[ExchangeFinished]:
        """Remove what is finished on both sides, or has to go because too many are open."""
        surplus = len(self._open) - self._limit
        finished = []
        for exchange in list(self._open.values()):
            if surplus > 0 and not exchange.response.started:
                exchange.fail(pb.HTTP_OUTCOME_GAP, f"no response among {self._limit} requests")
                exchange.request.done = exchange.response.done = True
                surplus -= 1
            if exchange.request.done and exchange.response.done:
                del self._open[exchange.index]
                finished.append(exchange.finished())
        return finished

    def end_all(self, now_ns: int, outcome: pb.HttpOutcome) -> list[ExchangeFinished]:
        """Finish everything, because the connection has ended."""
        for exchange in self._open.values():
            if not (exchange.request.done and exchange.response.done):
                part = "response" if exchange.request.done else "request"
                exchange.fail(outcome, f"the connection ended before the {part} did")
                exchange.end_ns = max(exchange.end_ns, now_ns)
            exchange.request.done = exchange.response.done = True
        return self.take_finished()
