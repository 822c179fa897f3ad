"""What is kept of an open WebSocket: the parts of its messages, and the calls that are under way.

Must not read what messages mean: `providers.socket_calls` does.
"""

from __future__ import annotations

import msgspec
from agentsight_core.pb import events_pb2 as pb

_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class SocketMessage(msgspec.Struct, frozen=True):
    """One whole message; times are Unix ns."""

    direction: int
    data: bytes
    start_ns: int
    end_ns: int
    # Why `data` is not the whole message; "" if it is.
    problem: str = ""


class SocketCall(msgspec.Struct):
    """A call of a model within a WebSocket: one message that asks, and those that answer it."""

    request: bytes
    start_ns: int
    request_end_ns: int
    last_ns: int
    # The vendor's id of the answer, "" until it is known; and of the stream within the connection.
    id: str = ""
    stream_id: str = ""
    answer: list[bytes] = []
    answer_bytes: int = 0
    pieces: list[tuple[int, int]] = []
    problem: str = ""
    # It asks for nothing: the connection is warmed up.
    is_warmup: bool = False

    def add_bounded(self, data: bytes, message: SocketMessage, *, final: bool) -> None:
        """Append `data`, made of `message`, to the answer as a line; a final one always fits."""
        if message.problem:
            self.problem = self.problem or f"a message of the answer: {message.problem}"
        if not final and self.answer_bytes + len(data) > _MAX_ANSWER_BYTES:
            self.problem = "the response body is cut at the configured cap"
            return
        self.pieces.append((self.answer_bytes, message.start_ns))
        self.answer.append(data)
        self.answer_bytes += len(data) + 1
        self.last_ns = max(self.last_ns, message.start_ns)

    def note_dropped(self, state: SocketState) -> None:
        """Say so if the conversation that the call relies on is not kept from its beginning."""
        if state.dropped_items:
            self.problem = f"{state.dropped_items} earlier items of the conversation are not kept"


class SocketState(msgspec.Struct):
    """A WebSocket so far."""

    # Parts of the message that is coming, by direction.
    parts: dict[int, list[bytes]] = {}
    calls: list[SocketCall] = []
    # JSON that later calls rely on: the configuration of the conversation, and its items.
    session: bytes = b""
    items: list[bytes] = []
    item_bytes: int = 0
    # Items of the client that the server has not repeated yet; items that are not kept any more.
    unconfirmed: int = 0
    dropped_items: int = 0

    @property
    def held_bytes(self) -> int:
        """How many bytes of content there are."""
        parts = sum(len(part) for kept in self.parts.values() for part in kept)
        calls = sum(len(call.request) + call.answer_bytes for call in self.calls)
        return parts + calls + len(self.session) + self.item_bytes

    def join(self, event: pb.Event) -> SocketMessage | None:
        """Take the next event of the WebSocket; return the message that it completes."""
        part = event.websocket_message
        if part.kind == pb.WEB_SOCKET_KIND_CLOSE:
            return None
        self.parts.setdefault(part.direction, []).append(part.data)
        if part.continues:
            return None
        data = b"".join(self.parts.pop(part.direction))
        start_ns = part.start_boot_ns + event.wall_ns - event.boot_ns
        return SocketMessage(part.direction, data, start_ns, event.wall_ns, part.problem)
