"""The service DeadLetters."""

from __future__ import annotations

import grpc
import grpc.aio
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.bus.failures import NotFound
from agentsight_core.bus.letters import read_letter
from agentsight_core.errors import Permanent
from agentsight_core.pb import api_pb2 as api

from agentsight_aggregator import deadletters
from agentsight_aggregator.api.answering import answered
from agentsight_aggregator.api.pages import PageRequest, list_page
from agentsight_aggregator.deadletters import FiledLetter, Replay


class DeadLettersService:
    """Answers from the bus alone."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    @answered
    async def ListLetters(  # noqa: N802  # gRPC's name
        self, request: api.ListLettersRequest, _context: grpc.aio.ServicerContext
    ) -> api.ListLettersResponse:
        """Return a page of letters, oldest first, without what they hold."""
        wanted = PageRequest(request.page_size, request.page_token)
        pattern = f"dlq.*.{subjects.token(request.stage)}.*" if request.stage else "dlq.>"

        def pick(message: StoredMessage) -> api.Letter:
            return _letter(FiledLetter(message.sequence, read_letter(message)))

        page = await list_page(self._bus, subjects.DLQ, pattern, wanted, pick)
        return api.ListLettersResponse(letters=page.items, next_page_token=page.next_token)

    @answered
    async def GetLetter(  # noqa: N802  # gRPC's name
        self, request: api.GetLetterRequest, _context: grpc.aio.ServicerContext
    ) -> api.Letter:
        """Return one letter with what it holds."""
        filed = await self._get(request.number)
        letter = _letter(filed)
        letter.data = filed.letter.data
        return letter

    @answered
    async def ReplayLetter(  # noqa: N802  # gRPC's name
        self, request: api.ReplayLetterRequest, _context: grpc.aio.ServicerContext
    ) -> api.ReplayLetterResponse:
        """Send the frame of a letter, or the repaired one, through the system again."""
        await self._get(request.number)
        done = await deadletters.replay_letter(self._bus, request.number, request.frame)
        if done is not Replay.SENT:
            raise Permanent(f"dead letter {request.number}: {done.value}")
        return api.ReplayLetterResponse()

    @answered
    async def PurgeLetters(  # noqa: N802  # gRPC's name
        self, request: api.PurgeLettersRequest, _context: grpc.aio.ServicerContext
    ) -> api.PurgeLettersResponse:
        """Throw letters away."""
        purged = await deadletters.purge_letters(self._bus, request.stage)
        return api.PurgeLettersResponse(purged=purged)

    async def _get(self, number: int) -> FiledLetter:
        try:
            # The server takes 0 for a question without a number.
            if number:
                return await deadletters.show_letter(self._bus, number)
        except NotFound:
            pass
        raise NotFound(f"there is no dead letter {number}")


def _letter(filed: FiledLetter) -> api.Letter:
    letter = filed.letter
    return api.Letter(
        number=filed.number,
        stage=letter.stage,
        error=letter.error,
        attempts=letter.attempts,
        time_ns=letter.time_ns,
        partition=letter.partition,
        subject=letter.subject,
        sequence=letter.sequence,
        size_bytes=len(letter.data),
        is_cut=letter.is_cut,
    )
