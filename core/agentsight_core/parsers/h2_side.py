"""One direction of an HTTP/2 connection: frames, header blocks, bodies, the way back after gaps.

Must not know what the head of a request or of a response says: that is in `h2_sides`.
"""

from __future__ import annotations

from agentsight_core.parsers import h2_frames as frames
from agentsight_core.parsers.exchanges import OpenExchange
from agentsight_core.parsers.h2_blocks import BlockReader
from agentsight_core.parsers.h2_frames import FrameHead
from agentsight_core.parsers.h2_headers import HeaderBlock
from agentsight_core.parsers.h2_streams import Half, Stream, Streams
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.pb import events_pb2 as pb

# Frames that are read as a whole; others are passed over as they come.
_WHOLE = frozenset(
    {
        frames.HEADERS,
        frames.CONTINUATION,
        frames.PUSH_PROMISE,
        frames.RST_STREAM,
        frames.GOAWAY,
    }
)
_BLOCKS = frozenset({frames.HEADERS, frames.CONTINUATION, frames.PUSH_PROMISE})
# How far the number of a new stream may lie ahead when frames are searched for.
_NEW_STREAMS = 4096


class H2Side:
    """The frames of one direction."""

    direction: pb.Direction
    noun: str

    def __init__(self, inbox: Inbox, streams: Streams) -> None:
        self.inbox = inbox
        self.streams = streams
        self._accounts = streams.accounts
        self._blocks = BlockReader(streams.settings.max_head_bytes)
        # Why frames are searched for; "" while the framing is known.
        self._searching = ""
        # The payload that is being passed: content, padding, and whose content it is.
        self._left = 0
        self._padding = 0
        self._ends = False
        self._stream: Stream | None = None
        self._passed = ""
        # Content that was taken and not yet given on.
        self._spans: list[tuple[int, int]] = []

    # ---- what requests and responses do in their own ways ----

    def may_read(self, head: FrameHead) -> bool:
        """Whether the frame can be read now."""
        raise NotImplementedError

    def set_end(self, exchange: OpenExchange, time_ns: int) -> None:
        """Record when this direction of `exchange` ended."""
        raise NotImplementedError

    def take_block(self, head: FrameHead, block: HeaderBlock, time_ns: int) -> Stream | None:
        """Take a header block; return the stream that it belongs to if that is open."""
        raise NotImplementedError

    def take_goaway(self, last_stream: int, error: str, time_ns: int) -> None:
        """End streams beyond `last_stream`, which the sender of this direction did not process."""
        raise NotImplementedError

    # ---- frames ----

    def drain(self) -> None:
        """Read all that is there."""
        while self._step():
            pass
        self._flush()

    def _step(self) -> bool:
        if self._searching:
            return self._search()
        if self._left or self._padding:
            return self._take_payload()
        return self.inbox.held_bytes >= frames.HEADER_BYTES and self._step_frame()

    def _step_frame(self) -> bool:
        inbox = self.inbox
        head = frames.read_head(inbox.buffer, inbox.position)
        if not head.is_valid:
            self._tear("a frame is malformed", pb.HTTP_OUTCOME_MALFORMED, "malformed_frame")
            return True
        if head.kind == frames.DATA:
            return self._begin_data(head)
        if head.kind not in _WHOLE or head.length > self.streams.settings.max_head_bytes:
            self._pass_over(head)
            return True
        if inbox.held_bytes < frames.HEADER_BYTES + head.length or not self.may_read(head):
            return False
        self._take_frame(head)
        return True

    def _pass_over(self, head: FrameHead) -> None:
        self._flush()
        self._take(self.inbox.position + frames.HEADER_BYTES)
        self._left, self._stream, self._ends = head.length, None, False
        self._passed = ""
        if head.kind in _BLOCKS:
            self._passed = "head_limit"
            self._blocks.drop()

    def _begin_data(self, head: FrameHead) -> bool:
        inbox = self.inbox
        buffer, position = inbox.buffer, inbox.position + frames.HEADER_BYTES
        padding = 0
        if head.flags & frames.PADDED:
            if position == len(buffer):
                return False
            padding = buffer[position]
            if padding >= head.length:
                self._tear("a frame is malformed", pb.HTTP_OUTCOME_MALFORMED, "malformed_frame")
                return True
            position += 1
        stream = self.streams.open.get(head.stream)
        if stream is not None and (
            stream.progress(self.direction).done or stream.half(self.direction) is None
        ):
            stream = None
        if stream is not self._stream:
            self._flush()
        self._stream = stream
        self._passed = "gap" if self._blocks.torn else "closed_stream"
        self._take(position)
        self._padding = padding
        self._left = head.length - padding - bool(head.flags & frames.PADDED)
        self._ends = bool(head.flags & frames.END_STREAM)
        if not (self._left or self._padding):
            self._end_payload()
        return True

    def _take_payload(self) -> bool:
        """Take what there is of the payload; False when more bytes are needed."""
        inbox = self.inbox
        start = inbox.position
        end = start + min(self._left, inbox.held_bytes)
        if end > start:
            self._left -= end - start
            if self._stream is not None:
                self._spans.append((start, end))
            if self._stream is None and self._passed:
                self.skip(self._passed, end)
            else:
                self._take(end)
        if self._left:
            return False
        padding = min(self._padding, inbox.held_bytes)
        self._padding -= padding
        self._take(inbox.position + padding)
        if self._padding:
            return False
        self._end_payload()
        return True

    def _end_payload(self) -> None:
        if self._ends and self._stream is not None:
            self._flush()
            self.end(self._stream)
        self._ends = False

    def _flush(self) -> None:
        """Give on the content that was taken."""
        spans, self._spans = self._spans, []
        if not spans or self._stream is None:
            return
        half = self._stream.half(self.direction)
        assert half is not None
        websocket = self._stream.websocket
        if websocket is None:
            self._give(half, spans)
            return
        data, pieces = self.inbox.content(spans)
        # Its reader counts them.
        self._accounts.bytes_parsed -= len(data)
        self.streams.out += websocket.reader(self.direction).feed(data, *pieces)

    def _give(self, half: Half, spans: list[tuple[int, int]]) -> None:
        if half.grpc is not None:
            for start, end in spans:
                half.grpc.feed(self.inbox.buffer, start, end)
        part = half.content.keep(self.inbox, spans)
        if part is not None:
            self.streams.out.append(part)

    def _take_frame(self, head: FrameHead) -> None:
        self._flush()
        inbox = self.inbox
        start, time_ns = inbox.position + frames.HEADER_BYTES, inbox.time()
        payload = bytes(inbox.buffer[start : start + head.length])
        self._take(start + head.length)
        if self._blocks.is_within and head.kind != frames.CONTINUATION:
            self._blocks.drop()
        if head.kind == frames.RST_STREAM:
            self._reset(head.stream, int.from_bytes(payload, "big"))
        elif head.kind == frames.GOAWAY:
            error = frames.error_name(int.from_bytes(payload[4:8], "big"))
            last_stream = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
            self.take_goaway(last_stream, error, inbox.time_before(inbox.position))
            self.streams.emit_finished()
        else:
            self._take_block(head, payload, time_ns)

    def _take_block(self, head: FrameHead, payload: bytes, time_ns: int) -> None:
        block = self._blocks.take(head, payload, time_ns)
        if block is None or block.head.kind == frames.PUSH_PROMISE or block.head.stream % 2 == 0:
            return  # What is pushed answers no request that was made.
        stream = self.take_block(block.head, block.fields, block.time_ns)
        if stream is not None and block.head.flags & frames.END_STREAM:
            self.end(stream)
        self.streams.emit_finished()

    def explain(self, block: HeaderBlock, exchange: OpenExchange) -> None:
        """Record what of a header block is unknown."""
        if block.error:
            exchange.fail(pb.HTTP_OUTCOME_MALFORMED, f"{self.noun}: {block.error}")
        elif block.unknown:
            outcome = pb.HTTP_OUTCOME_GAP if self._blocks.torn else pb.HTTP_OUTCOME_MALFORMED
            error = f"{self.noun}: {block.unknown} header fields refer to what was not seen"
            exchange.fail(outcome, error)

    def _reset(self, stream_id: int, code: int) -> None:
        stream = self.streams.open.get(stream_id)
        if stream is None:
            return
        time_ns = self.inbox.time_before(self.inbox.position)
        if stream.exchange.response.done:
            # The server needs no more of the request (RFC 9113 section 8.1).
            stream.exchange.request.done = True
        else:
            who = "client" if self.direction == pb.DIRECTION_REQUEST else "server"
            error = f"the {who} reset the stream: {frames.error_name(code)}"
            stream.abort(pb.HTTP_OUTCOME_ABORTED, error, time_ns)
        stream.settle()
        self.streams.emit_finished()

    def end(self, stream: Stream) -> None:
        """End this direction of a stream."""
        progress = stream.progress(self.direction)
        half = stream.half(self.direction)
        if progress.done or half is None:
            return
        progress.done = True
        half.content.end()
        self.set_end(stream.exchange, self.inbox.time_before(self.inbox.position))
        stream.settle()
        self.streams.emit_finished()

    # ---- accounts and gaps ----

    def _take(self, position: int) -> None:
        self._accounts.bytes_parsed += position - self.inbox.position
        self.inbox.position = position

    def skip(self, reason: str, position: int | None = None) -> None:
        """Count everything up to `position` (default: all that is there) as of no use."""
        end = len(self.inbox.buffer) if position is None else position
        self._accounts.skip(reason, end - self.inbox.position)
        self.inbox.position = end

    def lose(self, lost: int) -> None:
        """Go on although `lost` bytes (-1: nobody knows how many) are missing here."""
        if self._searching:
            return
        if 0 < lost <= self._left and not self.inbox.held_bytes:
            self._lose_within(lost)
        else:
            self._tear(_missing(lost), pb.HTTP_OUTCOME_GAP, "gap")

    def _lose_within(self, lost: int) -> None:
        """Stay in the frame: the missing bytes are of one payload."""
        stream = self._stream
        self._left -= lost
        if stream is not None:
            half, exchange = stream.half(self.direction), stream.exchange
            assert half is not None
            at = stream.progress(self.direction).bytes
            exchange.lost_bytes += lost
            error = f"{self.noun}: {_missing(lost)} at offset {at} of the body"
            exchange.fail(pb.HTTP_OUTCOME_GAP, error)
            self._lose_content(stream, half, lost)
        if not (self._left or self._padding):
            self._end_payload()

    def _lose_content(self, stream: Stream, half: Half, lost: int) -> None:
        half.content.lose()
        if half.grpc is not None:
            half.grpc.lose(lost)
        if stream.websocket is not None:
            self.streams.out += stream.websocket.reader(self.direction).lose(lost)

    def _tear(self, error: str, outcome: pb.HttpOutcome, reason: str) -> None:
        """Search for the next frame: the framing is lost. Skipped bytes count as `reason`."""
        self._flush()
        if reason == "gap":
            self.skip(reason)
        else:
            self.skip(reason, self.inbox.position + 1)
        self._searching = reason
        self._left = self._padding = 0
        self._stream, self._ends = None, False
        self._blocks.drop()
        if self.direction == pb.DIRECTION_REQUEST:
            self.streams.requests_torn = True
        for stream in self.streams.open.values():
            half = stream.half(self.direction)
            if half is None or stream.progress(self.direction).done:
                continue
            stream.exchange.fail(outcome, f"{self.noun}: {error}")
            self._lose_content(stream, half, -1)
            if self.direction == pb.DIRECTION_REQUEST:
                stream.request_torn = True
            stream.settle()
        self.streams.emit_finished()

    def search(self, reason: str) -> None:
        """Look for the first frame from here on: what was before has not been seen."""
        self._searching = reason
        self._blocks.drop()

    def _search(self) -> bool:
        inbox = self.inbox
        found = frames.find_frame(inbox.buffer, inbox.position, self._is_expected)
        if found < 0:
            self.skip(self._searching, max(inbox.position, len(inbox.buffer) - 8))
            return False
        self.skip(self._searching, found)
        self._searching = ""
        return True

    def _is_expected(self, head: FrameHead) -> bool:
        """Whether a frame that looks plausible also fits to what is known of the streams."""
        if head.stream == 0:
            return head.kind in (frames.PING, frames.WINDOW_UPDATE)
        if head.stream in self.streams.open:
            return True
        ahead = head.stream - self.streams.highest
        return (
            head.kind == frames.HEADERS
            and head.stream % 2 == 1
            and self.streams.highest > 0
            and 0 < ahead < _NEW_STREAMS
        )

    def close(self) -> None:
        """Forget what is held: the connection has ended."""
        self._flush()
        self.skip("unfinished")
        self.inbox.release()


def _missing(lost: int) -> str:
    return f"{'an unknown number of' if lost < 0 else lost} bytes are missing"
