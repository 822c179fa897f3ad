"""The service Cluster: members, partitions, streams and ledgers, from the notes on the bus."""

from __future__ import annotations

import grpc
import grpc.aio
from agentsight_core.bus import subjects
from agentsight_core.bus.connection import Bus
from agentsight_core.bus.generations import GenerationLog
from agentsight_core.bus.members import read_notes
from agentsight_core.pb import api_pb2 as api

from agentsight_aggregator.api.answering import answered

_STREAMS = (subjects.EVENTS, subjects.FINDINGS, subjects.DLQ)


class ClusterService:
    """Answers from the bus alone."""

    def __init__(self, bus: Bus, partitions: int) -> None:
        self._bus = bus
        self._partitions = partitions

    @answered
    async def GetStatus(  # noqa: N802  # gRPC's name
        self, _request: api.GetStatusRequest, _context: grpc.aio.ServicerContext
    ) -> api.GetStatusResponse:
        """Return who is there, who owns what, and how full the streams are."""
        members = await read_notes(self._bus)
        partitions = owned_partitions(members, self._partitions)
        await self._add_generations(members)
        for member in members:
            del member.ledger[:]
        return api.GetStatusResponse(
            members=members,
            partitions=partitions,
            streams=[await self._stream(name) for name in _STREAMS],
        )

    @answered
    async def GetLedger(  # noqa: N802  # gRPC's name
        self, _request: api.GetLedgerRequest, _context: grpc.aio.ServicerContext
    ) -> api.GetLedgerResponse:
        """Return the ledger of each member, as its last note had it."""
        members = await read_notes(self._bus)
        return api.GetLedgerResponse(
            members=[
                api.MemberLedger(
                    kind=member.kind, name=member.name, time_ns=member.time_ns, stages=member.ledger
                )
                for member in members
            ]
        )

    async def _add_generations(self, members: list[api.MemberStatus]) -> None:
        """Put in what each member says about the configuration that it runs."""
        reports = await GenerationLog(self._bus).reports()
        by_member = {(report.component, report.name): report for report in reports}
        for member in members:
            if report := by_member.get((member.kind, member.name)):
                member.config_generation = report.generation
                member.config_error = "; ".join(report.problems)

    async def _stream(self, name: str) -> api.StreamStatus:
        state = (await self._bus.stream_state(name)).state
        return api.StreamStatus(
            name=name,
            messages=state.messages,
            bytes=state.bytes,
            first_sequence=state.first_seq,
            last_sequence=state.last_seq,
        )


def owned_partitions(members: list[api.MemberStatus], partitions: int) -> list[api.PartitionStatus]:
    """Return every partition with the owner whose fence is the highest, "" without one."""
    found = {number: api.PartitionStatus(partition=number) for number in range(partitions)}
    for member in members:
        for claim in member.partitions:
            known = found.get(claim.partition)
            if known is None or not known.owner or claim.fence > known.fence:
                found[claim.partition] = api.PartitionStatus(
                    partition=claim.partition,
                    owner=member.name,
                    fence=claim.fence,
                    position=claim.position,
                )
    return [found[number] for number in sorted(found)]
