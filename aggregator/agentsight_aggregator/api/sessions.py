"""The service Sessions: the newest summary of each session, from the bucket that the bus keeps."""

from __future__ import annotations

import re

import grpc
import grpc.aio
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.bus.failures import NotFound, translated
from agentsight_core.errors import ConfigError
from agentsight_core.pb import api_pb2 as api
from agentsight_core.pb.findings_pb2 import Finding

from agentsight_aggregator.api.answering import answered
from agentsight_aggregator.api.kept import finding_of
from agentsight_aggregator.api.pages import PageRequest, list_page

_BUCKET = f"KV_{subjects.SESSIONS}"
_PREFIX = f"$KV.{subjects.SESSIONS}."
_DIGITS = re.compile(r"[0-9a-f]{1,16}")
_NAMED = 5


class SessionsService:
    """Answers from the bus alone."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    @answered
    async def ListSessions(  # noqa: N802  # gRPC's name
        self, request: api.ListSessionsRequest, _context: grpc.aio.ServicerContext
    ) -> api.ListSessionsResponse:
        """Return a page of the sessions that are asked for."""
        wanted = PageRequest(request.page_size, request.page_token)

        def pick(message: StoredMessage) -> Finding | None:
            finding = finding_of(self._bus, message)
            return finding if _takes(request, finding) else None

        page = await list_page(self._bus, _BUCKET, f"{_PREFIX}>", wanted, pick)
        return api.ListSessionsResponse(sessions=page.items, next_page_token=page.next_token)

    @answered
    async def GetSession(  # noqa: N802  # gRPC's name
        self, request: api.GetSessionRequest, _context: grpc.aio.ServicerContext
    ) -> Finding:
        """Return the session whose id begins with what is given."""
        subject = await self._find(request.session.lower())
        message = await self._bus.last(_BUCKET, subject)
        if message is None:
            raise NotFound(f"session {request.session} is not kept any more")
        return finding_of(self._bus, message)

    async def _find(self, digits: str) -> str:
        if not _DIGITS.fullmatch(digits):
            raise ConfigError("session must be 1 to 16 hexadecimal digits")
        names = await self._subjects(f"{digits}.*" if len(digits) == 16 else ">")
        found = [name for name in names if name.removeprefix(_PREFIX).startswith(digits)]
        if not found:
            raise NotFound(f"no session begins with {digits!r}")
        if len(found) > 1:
            more = "…" if len(found) > _NAMED else ""
            shown = ", ".join(name.split(".")[2] for name in found[:_NAMED])
            raise ConfigError(f"{len(found)} sessions begin with {digits!r}: {shown}{more}")
        return found[0]

    async def _subjects(self, key_filter: str) -> list[str]:
        with translated("looking up sessions"):
            info = await self._bus.js.stream_info(_BUCKET, subjects_filter=_PREFIX + key_filter)
        return sorted(info.state.subjects or ())


def _takes(request: api.ListSessionsRequest, finding: Finding) -> bool:
    summary = finding.session_summary
    return (
        (not request.agent_name or summary.agent_name == request.agent_name)
        and (not request.node or summary.node == request.node)
        and not (request.only_running and summary.ended)
        and summary.last_activity_ns >= request.active_since_ns
    )
