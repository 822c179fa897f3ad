"""Is this connection HTTP/1, and which end of it is watched? Found from the first bytes.

Must not parse messages.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentsight_core.parsers import heads
from agentsight_core.parsers.accounts import Accounts
from agentsight_core.parsers.inbox import Inbox
from agentsight_core.parsers.messages import Role
from agentsight_core.parsers.side import SEARCH_TAIL_BYTES


class RoleFinder:
    """Looks at the inboxes (by `written`) of a connection until it knows.

    A connection whose beginning was seen tells at once. One that was joined in its middle is
    searched for the next head, for up to `max_search_bytes`.
    """

    def __init__(
        self, inboxes: Mapping[bool, Inbox], accounts: Accounts, max_search_bytes: int
    ) -> None:
        self.role = Role.UNKNOWN
        self.reason = ""
        self._inboxes = inboxes
        self._accounts = accounts
        self._room_bytes = max_search_bytes
        # Directions whose beginning was not a head: the first one has to be searched for.
        self.searching = {True: False, False: False}

    def find(self, written: bool, *, lost: bool) -> Role:
        """Look at what the direction `written` has; return the role as known now."""
        inbox = self._inboxes[written]
        if inbox.buffer.startswith(heads.HTTP2_PREFACE):
            self._give_up("http2")
            return self.role
        if lost:
            self.searching[written] = True
        if self.searching[written]:
            self._search(written, inbox)
            return self.role
        request = heads.begins_request(inbox.buffer, 0)
        response = heads.begins_response(inbox.buffer, 0)
        preface = heads.HTTP2_PREFACE.startswith(bytes(inbox.buffer[: len(heads.HTTP2_PREFACE)]))
        if request:
            self._settle(written, request=True)
        elif response:
            self._settle(written, request=False)
        elif request is False and response is False and not preface:
            self.searching[written] = True
            self._search(written, inbox)
        return self.role

    def _settle(self, written: bool, *, request: bool) -> None:
        self.role = Role.CLIENT if written == request else Role.SERVER

    def _search(self, written: bool, inbox: Inbox) -> None:
        candidates = [
            (position, request)
            for request in (True, False)
            if (position := heads.find_plausible(inbox.buffer, 0, request=request)) >= 0
        ]
        if candidates:
            position, request = min(candidates)
            self._settle(written, request=request)
        else:
            position = min(
                heads.plausible_tail(inbox.buffer, 0, request=request, limit=SEARCH_TAIL_BYTES)
                for request in (True, False)
            )
        self._accounts.skip("before_first_head", position)
        self._room_bytes -= position
        inbox.position = position
        inbox.release()
        if self.role is Role.UNKNOWN and self._room_bytes <= 0:
            self._give_up("unknown protocol")

    def _give_up(self, reason: str) -> None:
        self.role = Role.NOT_HTTP
        self.reason = reason
        self._skip_all("not_http")

    def close(self) -> None:
        """Forget what is held: the connection ended before it told what it is."""
        self._skip_all("unfinished")

    def _skip_all(self, reason: str) -> None:
        for inbox in self._inboxes.values():
            self._accounts.skip(reason, inbox.held_bytes)
            inbox.position = len(inbox.buffer)
            inbox.release()
