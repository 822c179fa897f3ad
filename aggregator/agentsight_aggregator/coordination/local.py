"""The coordinator of a single process: it owns everything.

Must not be used where several aggregators share a bus.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from agentsight_core.pb.api_pb2 import CoordinationStatus

from agentsight_aggregator.coordination.coordinator import Assignment


class LocalCoordinator:
    """Owns partitions 0…`partitions` - 1 for as long as it is entered."""

    def __init__(self, partitions: int) -> None:
        self._mine = frozenset(Assignment(number, fence=1) for number in range(partitions))
        self._left = asyncio.Event()
        self._left.set()

    async def __aenter__(self) -> Self:
        """Take all partitions."""
        self._left.clear()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give all partitions up."""
        self._left.set()

    @property
    def member_id(self) -> str:
        """Nothing: there is no group."""
        return ""

    @property
    def is_leader(self) -> bool:
        """Yes: there is nobody else."""
        return True

    def is_member(self, member: str) -> bool:  # noqa: ARG002  # of the contract
        """No: there is no group, and nobody to wait for."""
        return False

    def status(self) -> CoordinationStatus | None:
        """Return nothing: there is no group."""
        return None

    async def assignments(self) -> AsyncIterator[frozenset[Assignment]]:
        """Yield all partitions once, and end when the member has left."""
        if not self._left.is_set():
            yield self._mine
            await self._left.wait()

    def owns(self, assignment: Assignment) -> bool:
        """Whether this member is in and `assignment` is one of its own."""
        return not self._left.is_set() and assignment in self._mine
