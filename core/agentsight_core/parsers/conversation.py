"""HTTP of any version over one connection: finds the version, then leaves the bytes to its parser.

Same interface as `HttpConnection`. Must not parse messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.parsers import h2_frames as frames
from agentsight_core.parsers.accounts import Accounts, HttpSettings
from agentsight_core.parsers.heads import HTTP2_PREFACE
from agentsight_core.parsers.http1 import HttpConnection
from agentsight_core.parsers.http2 import Http2Connection
from agentsight_core.parsers.messages import HttpMessage, Role
from agentsight_core.pb import events_pb2 as pb

_DEFAULTS = HttpSettings()
_Feed = tuple[bool, bytes, Sequence[int], Sequence[int], int]


class Conversation:
    """One connection seen from one of its ends.

    `is_http2`: it is known to be HTTP/2, and its beginning was seen by another parser.
    """

    def __init__(self, settings: HttpSettings = _DEFAULTS, *, is_http2: bool = False) -> None:
        self._settings = settings
        self._accounts = Accounts()
        self._http: HttpConnection | Http2Connection | None = None
        # What came before it was clear which parser it is for.
        self._pending: list[_Feed] = []
        self._closed = False
        if is_http2:
            self._http = Http2Connection(settings, self._accounts, Role.UNKNOWN)

    def change(self, settings: HttpSettings) -> None:
        """Go on with other bounds; what is beyond them already stays."""
        self._settings = settings
        if self._http is not None:
            self._http.change(settings)

    @property
    def is_http2(self) -> bool:
        """Whether the connection has turned out to be HTTP/2."""
        return isinstance(self._http, Http2Connection)

    @property
    def role(self) -> Role:
        """Which end is watched, as far as the bytes have told."""
        return self._http.role if self._http is not None else Role.UNKNOWN

    @property
    def not_http_reason(self) -> str:
        """Why the role is NOT_HTTP; else ""."""
        return self._http.not_http_reason if self._http is not None else ""

    @property
    def bytes_in(self) -> int:
        """Bytes fed: always `bytes_parsed` + all of `skipped` + `held_bytes`."""
        return self._accounts.bytes_in + self._pending_bytes

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
        return self._pending_bytes + (self._http.held_bytes if self._http is not None else 0)

    @property
    def _pending_bytes(self) -> int:
        return sum(len(data) for _, data, _, _, _ in self._pending)

    def leave_bodies(self, exchange: int) -> None:
        """Make nothing more of the bodies of an exchange: they are framed and counted."""
        if self._http is not None:
            self._http.leave_bodies(exchange)

    def takes_any_order(self, written_bytes: int, read_bytes: int) -> bool:
        """Whether it is all one which direction is fed first, if so many bytes of each are next."""
        http = self._http
        return isinstance(http, HttpConnection) and http.takes_any_order(written_bytes, read_bytes)

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
        if self._http is None and not self._closed:
            self._pending.append((written, data, offsets, times_ns, lost))
            self._http = self._choose(written)
            return self._replay() if self._http is not None else []
        self._reconsider(data)
        if self._http is None:
            self._accounts.bytes_in += len(data)
            self._accounts.skip("closed", len(data))
            return []
        return self._http.feed(written, data, offsets, times_ns, lost=lost)

    def close(
        self, now_ns: int, outcome: pb.HttpOutcome = pb.HTTP_OUTCOME_ABORTED
    ) -> list[HttpMessage]:
        """End the connection; see `HttpConnection.close`."""
        self._closed = True
        if self._http is not None:
            return self._http.close(now_ns, outcome)
        count, self._pending = self._pending_bytes, []
        self._accounts.bytes_in += count
        self._accounts.skip("unfinished", count)
        return []

    def _choose(self, written: bool) -> HttpConnection | Http2Connection | None:
        """Return the parser for what the direction `written` has begun with; None: not clear."""
        own = [(data, lost) for side, data, _, _, lost in self._pending if side == written]
        start = b"".join(data for data, _ in own)
        if not any(lost for _, lost in own):
            begins_settings = frames.begins_settings(start)
            if start.startswith(HTTP2_PREFACE):
                return self._new_http2(Role.CLIENT if written else Role.SERVER)
            if begins_settings:
                return self._new_http2(Role.SERVER if written else Role.CLIENT)
            if HTTP2_PREFACE.startswith(start) or begins_settings is None:
                return None
        if frames.is_chain(start):
            return self._new_http2(Role.UNKNOWN)
        return HttpConnection(self._settings, self._accounts)

    def _new_http2(self, role: Role) -> Http2Connection:
        return Http2Connection(self._settings, self._accounts, role)

    def _reconsider(self, data: bytes) -> None:
        """Turn to HTTP/2 if HTTP/1 has found nothing yet, and frames follow each other."""
        http = self._http
        if isinstance(http, HttpConnection) and http.role is Role.UNKNOWN and frames.is_chain(data):
            http.close(0)
            self._http = self._new_http2(Role.UNKNOWN)

    def _replay(self) -> list[HttpMessage]:
        assert self._http is not None
        pending, self._pending = self._pending, []
        out: list[HttpMessage] = []
        for written, data, offsets, times_ns, lost in pending:
            out += self._http.feed(written, data, offsets, times_ns, lost=lost)
        return out
