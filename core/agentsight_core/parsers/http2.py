"""HTTP/2 over one connection, watched from one of its ends (RFC 9113): runs in, messages out.

Same interface and same messages as HTTP/1: each stream is an exchange. Never raises on what the
peers sent, never waits; buffers are bounded, every byte is counted. Must not know providers,
sessions or redaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.parsers import h2_frames as frames
from agentsight_core.parsers.accounts import Accounts, HttpSettings
from agentsight_core.parsers.exchanges import OpenExchanges
from agentsight_core.parsers.h2_headers import side_of_block
from agentsight_core.parsers.h2_sides import H2Requests, H2Responses
from agentsight_core.parsers.h2_streams import Streams
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import HttpMessage, Role
from agentsight_core.pb import events_pb2 as pb


class Http2Connection:
    """One connection; `role` is UNKNOWN if it was joined in its middle."""

    not_http_reason = ""

    def __init__(self, settings: HttpSettings, accounts: Accounts, role: Role) -> None:
        self._accounts = accounts
        self._streams = Streams(settings, accounts, OpenExchanges(settings.max_open_exchanges))
        self._inboxes = {True: Inbox(), False: Inbox()}
        self.role = role
        self._sides: tuple[H2Requests, H2Responses] | None = None
        self._search_room_bytes = settings.max_search_bytes
        self._preface = frames.PREFACE
        self._closed = False
        if role is not Role.UNKNOWN:
            self._begin(role)

    def change(self, settings: HttpSettings) -> None:
        """Go on with other bounds; what is beyond them already stays."""
        self._streams.settings = settings

    def leave_bodies(self, exchange: int) -> None:
        """Make nothing more of the bodies of an exchange: they are framed and counted."""
        self._streams.exchanges.leave_bodies(exchange)

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for more."""
        websockets = (one.websocket for one in self._streams.open.values() if one.websocket)
        held_bytes = sum(inbox.held_bytes for inbox in self._inboxes.values())
        return held_bytes + sum(websocket.held_bytes for websocket in websockets)

    def feed(
        self,
        written: bool,
        data: bytes,
        offsets: Sequence[int],
        times_ns: Sequence[int],
        *,
        lost: int = 0,
    ) -> list[HttpMessage]:
        """Take the next run of one direction; see `HttpConnection.feed`."""
        self._accounts.bytes_in += len(data)
        if self._closed or self.role is Role.NOT_HTTP:
            self._accounts.skip("closed" if self._closed else "not_http", len(data))
            return []
        inbox = self._inboxes[written]
        if lost and self._sides is not None:
            self._lose(inbox, lost)
        inbox.append(data, offsets, times_ns)
        if self._sides is None and not self._find_role(written, inbox):
            return self._take_out()
        assert self._sides is not None
        responses = self._sides[1]
        # What was held for a request in between waits no longer.
        responses.take_early = responses.waiting and inbox is responses.inbox
        return self._read()

    def close(
        self, now_ns: int, outcome: pb.HttpOutcome = pb.HTTP_OUTCOME_ABORTED
    ) -> list[HttpMessage]:
        """End the connection at `now_ns`; `outcome` is that of unfinished exchanges."""
        if self._closed:
            return []
        self._closed = True
        if self._sides is None:
            self._skip_all("unfinished")
            return []
        self._sides[1].take_early = True
        out = self._read()
        for side in self._sides:
            side.close()
        for stream in self._streams.open.values():
            stream.note_messages()
            if stream.websocket is not None:
                out += stream.websocket.close()
        self._streams.open.clear()
        return out + self._streams.exchanges.end_all(now_ns, outcome)

    def _begin(self, role: Role) -> None:
        self.role = role
        client = role is Role.CLIENT
        requests = H2Requests(self._inboxes[client], self._streams)
        responses = H2Responses(self._inboxes[not client], self._streams)
        self._sides = (requests, responses)

    def _lose(self, inbox: Inbox, lost: int) -> None:
        assert self._sides is not None
        requests, responses = self._sides
        if inbox is responses.inbox:
            responses.take_early = True
            responses.drain()
        self._preface = b"" if inbox is requests.inbox else self._preface
        (requests if inbox is requests.inbox else responses).lose(lost)

    def _find_role(self, written: bool, inbox: Inbox) -> bool:
        """Look for a head that tells which end is watched; False while there is none."""
        found = self._find_head(inbox)
        if found is not None:
            position, is_request = found
            self._begin(Role.CLIENT if written == is_request else Role.SERVER)
            assert self._sides is not None
            self._preface = b""
            for side in self._sides:
                side.search("before_first_head")
            self._streams.requests_torn = True
        else:
            position = max(inbox.position, len(inbox.buffer) - 8)
        self._accounts.skip("before_first_head", position - inbox.position)
        self._search_room_bytes -= position - inbox.position
        inbox.position = position
        inbox.release()
        if found is None and self._search_room_bytes <= 0:
            self.role = Role.NOT_HTTP
            self.not_http_reason = "unknown protocol"
            self._skip_all("not_http")
        return found is not None

    def _find_head(self, inbox: Inbox) -> tuple[int, bool] | None:
        """Return where a HEADERS frame is and whether it is of a request."""
        buffer, position = inbox.buffer, inbox.position
        while (position := frames.find_frame(buffer, position, lambda _: False)) >= 0:
            head = frames.read_head(buffer, position)
            end = position + frames.HEADER_BYTES + head.length
            if head.kind == frames.HEADERS and end <= len(buffer):
                block = frames.unpad(head, bytes(buffer[position + frames.HEADER_BYTES : end]))
                skipped = 5 if head.flags & frames.HAS_PRIORITY else 0
                side = side_of_block(block[skipped:]) if block else None
                if side is not None:
                    return position, side
            position = end
        return None

    def _read(self) -> list[HttpMessage]:
        assert self._sides is not None
        requests, responses = self._sides
        if not self._preface or self._take_preface(requests):
            requests.drain()
        responses.drain()
        requests.inbox.release()
        responses.inbox.release()
        return self._take_out()

    def _take_preface(self, requests: H2Requests) -> bool:
        """Take the client's preface; False while it is not complete."""
        inbox = requests.inbox
        count = min(inbox.held_bytes, len(self._preface))
        if bytes(inbox.buffer[inbox.position : inbox.position + count]) == self._preface[:count]:
            self._accounts.bytes_parsed += count
            inbox.position += count
            self._preface = self._preface[count:]
            return not self._preface
        self._preface = b""
        return True

    def _take_out(self) -> list[HttpMessage]:
        out, self._streams.out = self._streams.out, []
        return out

    def _skip_all(self, reason: str) -> None:
        for inbox in self._inboxes.values():
            self._accounts.skip(reason, inbox.held_bytes)
            inbox.position = len(inbox.buffer)
            inbox.release()
