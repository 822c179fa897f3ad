"""HTTP/1.x over one connection, watched from one of its ends (RFC 9112): runs in, messages out.

Never raises on what the peers sent, never waits; buffers are bounded. Every byte is counted as
parsed or as skipped with a reason. Must not know providers, sessions or redaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.parsers.accounts import Accounts, HttpSettings
from agentsight_core.parsers.exchanges import OpenExchanges
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import HttpMessage, Role
from agentsight_core.parsers.requests import RequestSide
from agentsight_core.parsers.responses import ResponseSide
from agentsight_core.parsers.roles import RoleFinder
from agentsight_core.parsers.side import Shared
from agentsight_core.pb import events_pb2 as pb

__all__ = ["HttpConnection", "HttpSettings"]


_DEFAULTS = HttpSettings()


class HttpConnection:
    """One TCP or TLS connection seen from one of its ends, both directions."""

    def __init__(
        self, settings: HttpSettings = _DEFAULTS, accounts: Accounts | None = None
    ) -> None:
        accounts = Accounts() if accounts is None else accounts
        self._accounts = accounts
        self._shared = Shared(settings, accounts, OpenExchanges(settings.max_open_exchanges))
        self._inboxes = {True: Inbox(), False: Inbox()}
        self._finder = RoleFinder(self._inboxes, accounts, settings.max_search_bytes)
        self._sides: tuple[RequestSide, ResponseSide] | None = None
        self._closed = False

    def change(self, settings: HttpSettings) -> None:
        """Go on with other bounds; what is beyond them already stays."""
        self._shared.settings = settings

    def leave_bodies(self, exchange: int) -> None:
        """Make nothing more of the bodies of an exchange: they are framed and counted."""
        self._shared.exchanges.leave_bodies(exchange)

    def takes_any_order(self, written_bytes: int, read_bytes: int) -> bool:
        """Whether the next bytes of both directions are inside of bodies that go on behind them."""
        if self._sides is None:
            return False
        requests, responses = self._sides
        is_client = requests.inbox is self._inboxes[True]
        asked, answered = (written_bytes, read_bytes) if is_client else (read_bytes, written_bytes)
        return requests.is_within_body(asked) and responses.is_within_body(answered)

    @property
    def role(self) -> Role:
        """Which end is watched, as far as the bytes have told."""
        return self._finder.role

    @property
    def not_http_reason(self) -> str:
        """Why the role is NOT_HTTP: "http2" or "unknown protocol"; else ""."""
        return self._finder.reason

    @property
    def bytes_in(self) -> int:
        """Bytes fed: always `bytes_parsed` + all of `skipped` + `held_bytes`."""
        return self._accounts.bytes_in

    @property
    def bytes_parsed(self) -> int:
        """Bytes that were understood."""
        return self._accounts.bytes_parsed

    @property
    def skipped(self) -> dict[str, int]:
        """Bytes of which nothing came out, by reason."""
        return self._accounts.skipped

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for more."""
        websocket = self._shared.websocket
        held_bytes = sum(inbox.held_bytes for inbox in self._inboxes.values())
        return held_bytes + (websocket.held_bytes if websocket is not None else 0)

    def feed(
        self,
        written: bool,
        data: bytes,
        offsets: Sequence[int],
        times_ns: Sequence[int],
        *,
        lost: int = 0,
    ) -> list[HttpMessage]:
        """Take the next run of one direction; `written`: by the watched end.

        The bytes from `offsets[i]` on came at `times_ns[i]`. `lost` bytes are missing before
        `data`; -1 if nobody knows how many. A response may be fed in the call before its request.
        """
        self._accounts.bytes_in += len(data)
        if self._closed or self.role is Role.NOT_HTTP:
            self._accounts.skip("closed" if self._closed else "not_http", len(data))
            return []
        if lost and self._sides is not None:
            self._lose(written, lost)
        inbox = self._inboxes[written]
        inbox.append(data, offsets, times_ns)
        if self._sides is None and not self._find_role(written, lost=lost):
            return []
        assert self._sides is not None
        responses = self._sides[1]
        # What was held for a request in between waits no longer.
        responses.take_early = responses.waiting and inbox is responses.inbox
        return self._read()

    def close(
        self, now_ns: int, outcome: pb.HttpOutcome = pb.HTTP_OUTCOME_ABORTED
    ) -> list[HttpMessage]:
        """End the connection at `now_ns`.

        `outcome` is that of unfinished exchanges: ABORTED when the connection was closed (which is
        the regular end of some bodies), UNFINISHED when the watcher stops.
        """
        if self._closed:
            return []
        self._closed = True
        if self._sides is None:
            self._finder.close()
            return []
        requests, responses = self._sides
        responses.take_early = True
        self._read_on()
        self._shared.end_websocket(now_ns)
        out = self._take_out()
        requests.close(regular=False)
        responses.close(regular=outcome == pb.HTTP_OUTCOME_ABORTED)
        return out + self._shared.exchanges.end_all(now_ns, outcome)

    def _find_role(self, written: bool, *, lost: int) -> bool:
        role = self._finder.find(written, lost=bool(lost))
        if role not in (Role.CLIENT, Role.SERVER):
            return False
        client = role is Role.CLIENT
        requests = RequestSide(self._inboxes[client], self._shared)
        responses = ResponseSide(self._inboxes[not client], self._shared)
        self._sides = (requests, responses)
        for side, direction in ((requests, client), (responses, not client)):
            if self._finder.searching[direction]:
                side.search("before_first_head")
        return True

    def _lose(self, written: bool, lost: int) -> None:
        """Say that bytes of one direction are missing."""
        assert self._sides is not None
        requests, responses = self._sides
        side = requests if self._inboxes[written] is requests.inbox else responses
        exchanges = self._shared.exchanges
        between = side.exchange is None
        if not side.lose(lost):
            return
        exchanges.lost()
        waiting = exchanges.awaiting()
        if between and side is responses and waiting is not None:
            waiting.lost_bytes += max(lost, 0)

    def _read(self) -> list[HttpMessage]:
        self._read_on()
        return self._take_out()

    def _read_on(self) -> None:
        """Read all that is there. What one side says may let the other one go on."""
        assert self._sides is not None
        requests, responses = self._sides
        while requests.step() or responses.step():
            pass
        responses.waiting = responses.waits_for_request
        requests.inbox.release()
        responses.inbox.release()
        self._shared.emit_finished()

    def _take_out(self) -> list[HttpMessage]:
        out, self._shared.out = self._shared.out, []
        return out
