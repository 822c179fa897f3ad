"""WebSocket within an exchange that has left HTTP (RFC 6455, RFC 7692, RFC 8441): messages out.

Never raises on what the peers sent; buffers are bounded, every byte is counted. Must not know what
messages mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.parsers import websocket_frames as frames
from agentsight_core.parsers.accounts import Accounts
from agentsight_core.parsers.exchanges import OpenExchange, Progress
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import Headers, WebSocketKind, WebSocketMessage
from agentsight_core.parsers.websocket_frames import WebSocketHead
from agentsight_core.parsers.websocket_inflate import CUT, Inflater
from agentsight_core.pb import events_pb2 as pb

_NO_CODE = 1005
_MISSING = "bytes of the message are missing"


class WebSocketReader:
    """One direction of a WebSocket."""

    def __init__(
        self,
        exchange: OpenExchange,
        direction: pb.Direction,
        inflater: Inflater | None,
        limit_bytes: int,
        accounts: Accounts,
    ) -> None:
        self.closed = False
        self._exchange = exchange
        self._direction = direction
        self._is_client = direction == pb.DIRECTION_REQUEST
        self._inflater = inflater
        self._limit_bytes = limit_bytes
        self._accounts = accounts
        self._inbox = Inbox()
        self._searching = False
        self._out: list[WebSocketMessage] = []
        # The frame whose payload is being read; how much of that is left.
        self._frame: WebSocketHead | None = None
        self._left = 0
        # The message so far; its kind is None between messages.
        self._kind: WebSocketKind | None = None
        self._data = bytearray()
        self._compressed = False
        self._start_ns = 0
        self._problem = ""

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for more."""
        return self._inbox.held_bytes

    @property
    def _progress(self) -> Progress:
        return self._exchange.request if self._is_client else self._exchange.response

    def feed(
        self, data: bytes, offsets: Sequence[int], times_ns: Sequence[int]
    ) -> list[WebSocketMessage]:
        """Take the next bytes; return the messages that they complete."""
        self._inbox.append(data, offsets, times_ns)
        if self._searching:
            self._search([*offsets])
        while self._step():
            pass
        self._inbox.release()
        return self._take_out()

    def lose(self, lost: int) -> list[WebSocketMessage]:
        """Go on although `lost` bytes (-1: nobody knows how many) are missing here."""
        if self._searching or self.closed:
            return []
        self._exchange.lost_bytes += max(lost, 0)
        self._exchange.note(f"WebSocket: {'some' if lost < 0 else lost} bytes are missing")
        if 0 < lost < self._left and not self._inbox.held_bytes:
            self._left -= lost
            if self._kind is not None:
                self._problem = _MISSING
        else:
            self._tear("gap")
        return self._take_out()

    def close(self) -> list[WebSocketMessage]:
        """End the stream; a message that is under way is given as far as it came."""
        self._skip("unfinished", len(self._inbox.buffer))
        self._inbox.release()
        if self._kind is not None:
            self._problem = self._problem or "the connection ended before the message did"
            self._end_message(self._inbox.last_ns)
        return self._take_out()

    def _take_out(self) -> list[WebSocketMessage]:
        out, self._out = self._out, []
        return out

    def _step(self) -> bool:
        inbox = self._inbox
        if self._searching or self.closed:
            self._skip("gap" if self._searching else "closed", len(inbox.buffer))
            return False
        if self._frame is not None:
            return self._take_payload(self._frame)
        try:
            head = frames.read_head(
                inbox.buffer,
                inbox.position,
                masked=self._is_client,
                deflate=self._inflater is not None,
            )
        except ValueError as error:
            self._exchange.note(f"WebSocket: {error}")
            self._tear("malformed_frame")
            return False
        if head is None:
            return False
        if not head.is_control:
            self._begin_frame(head)
        self._take(inbox.position + head.size)
        self._frame, self._left = head, head.length
        return True

    def _begin_frame(self, head: WebSocketHead) -> None:
        """Begin a message, or go on with one."""
        if head.opcode == frames.CONTINUATION:
            return
        if self._kind is not None:
            self._problem = self._problem or "another message begins within it"
            self._end_message(self._inbox.time())
        self._kind = WebSocketKind.TEXT if head.opcode == frames.TEXT else WebSocketKind.BINARY
        self._compressed = head.compressed
        self._start_ns = self._inbox.time()

    def _take_payload(self, head: WebSocketHead) -> bool:
        inbox = self._inbox
        if head.is_control and inbox.held_bytes < self._left:
            return False
        start = inbox.position
        end = min(start + self._left, len(inbox.buffer))
        if end == start and self._left:
            return False
        data = frames.unmask(bytes(inbox.buffer[start:end]), head.key, head.length - self._left)
        self._left -= end - start
        self._progress.bytes += end - start
        if head.is_control or self._kind is not None:
            self._take(end)
        else:
            self._skip("gap", end)  # It goes on with a message whose beginning was not seen.
        if head.opcode == frames.CLOSE:
            self._end_stream(data)
        elif self._kind is not None and not head.is_control:
            self._keep(data)
        if self._left == 0:
            self._frame = None
            if head.final and not head.is_control and self._kind is not None:
                self._end_message(inbox.time_before(inbox.position))
        return True

    def _keep(self, data: bytes) -> None:
        room = self._limit_bytes - len(self._data)
        self._data += data[:room]
        if len(data) > room:
            self._problem = self._problem or CUT
            self._accounts.skip("body_limit", len(data) - room)
            self._accounts.bytes_parsed -= len(data) - room

    def _end_message(self, time_ns: int) -> None:
        data, problem = bytes(self._data), self._problem
        if self._compressed and self._inflater is not None:
            if problem:
                self._inflater.tear()
                data = b""
            else:
                data, problem = self._inflater.inflate(data)
        assert self._kind is not None
        self._emit(self._kind, data, time_ns, problem)
        self._kind = None
        self._data = bytearray()
        self._problem = ""

    def _emit(
        self, kind: WebSocketKind, data: bytes, time_ns: int, problem: str, close_code: int = 0
    ) -> None:
        is_close = kind is WebSocketKind.CLOSE
        if problem:
            self._progress.truncated = True
        if self._is_client:
            self._exchange.request_messages += not is_close
        else:
            self._exchange.response_messages += not is_close
        message = WebSocketMessage(
            exchange=self._exchange.index,
            direction=self._direction,
            kind=kind,
            data=data,
            start_ns=time_ns if is_close else self._start_ns,
            time_ns=time_ns,
            close_code=close_code,
            problem=problem,
        )
        self._out.append(message)

    def _end_stream(self, payload: bytes) -> None:
        time_ns = self._inbox.time_before(self._inbox.position)
        code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else _NO_CODE
        self._emit(WebSocketKind.CLOSE, payload[2:], time_ns, "", code)
        self.closed = True

    # ---- accounts and gaps ----

    def _take(self, position: int) -> None:
        self._accounts.bytes_parsed += position - self._inbox.position
        self._inbox.position = position

    def _skip(self, reason: str, position: int) -> None:
        self._accounts.skip(reason, position - self._inbox.position)
        self._inbox.position = position

    def _tear(self, reason: str) -> None:
        """Give the current message up; search for the next frame."""
        self._skip(reason, len(self._inbox.buffer))
        self._inbox.release()
        if self._kind is not None:
            self._problem = _MISSING
            self._end_message(self._inbox.last_ns)
        if self._inflater is not None:
            self._inflater.tear()
        self._frame, self._left = None, 0
        self._searching = True

    def _search(self, offsets: Sequence[int]) -> None:
        """Look for a frame where a record begins: senders write frames whole."""
        for offset in offsets:
            if frames.is_chain(
                self._inbox.buffer,
                offset,
                masked=self._is_client,
                deflate=self._inflater is not None,
            ):
                self._skip("gap", offset)
                self._searching = False
                return


class WebSocket:
    """Both directions of a WebSocket."""

    def __init__(
        self, exchange: OpenExchange, response: Headers, limit_bytes: int, accounts: Accounts
    ) -> None:
        """`response` are the header fields with which the server agreed."""
        self._exchange = exchange
        words = ",".join(value for name, value in response if name == "sec-websocket-extensions")
        deflate = "permessage-deflate" in words
        self._readers = {
            direction: WebSocketReader(
                exchange,
                direction,
                Inflater(limit_bytes, takeover=f"{who}_no_context_takeover" not in words)
                if deflate
                else None,
                limit_bytes,
                accounts,
            )
            for direction, who in (
                (pb.DIRECTION_REQUEST, "client"),
                (pb.DIRECTION_RESPONSE, "server"),
            )
        }

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for more."""
        return sum(reader.held_bytes for reader in self._readers.values())

    @property
    def is_closed(self) -> bool:
        """Whether both sides have said that they close."""
        return all(reader.closed for reader in self._readers.values())

    def reader(self, direction: pb.Direction) -> WebSocketReader:
        """Return the reader of a direction."""
        return self._readers[direction]

    def close(self) -> list[WebSocketMessage]:
        """End both directions."""
        if not any(reader.closed for reader in self._readers.values()):
            self._exchange.note("WebSocket: the connection ended without a close")
        return [message for reader in self._readers.values() for message in reader.close()]


def asks_for_websocket(headers: Headers) -> bool:
    """Whether the head of a request asks for a WebSocket."""
    return any(
        name in ("upgrade", ":protocol") and value.strip().lower() == "websocket"
        for name, value in headers
    )
