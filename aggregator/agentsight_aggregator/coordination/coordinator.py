"""The contract of a coordinator; `tests/contract` holds every implementation to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from agentsight_core.pb.api_pb2 import CoordinationStatus


@dataclass(frozen=True, slots=True)
class Assignment:
    """A partition that this member owns."""

    partition: int
    # Grows with every assignment of the partition, to whomever: the younger one is right.
    fence: int


class Coordinator(Protocol):
    """Membership in a group that shares the partitions; an async context manager."""

    async def __aenter__(self) -> Self:
        """Join the group."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the group, giving up all partitions."""
        ...

    @property
    def member_id(self) -> str:
        """The name of this member that no other has, and no earlier life of it; "" if alone."""
        ...

    @property
    def is_leader(self) -> bool:
        """Whether this member does what one of the group has to do; yes if it is alone."""
        ...

    def is_member(self, member: str) -> bool:
        """Whether `member` is in the group, as far as this one knows; never if it is alone."""
        ...

    def status(self) -> CoordinationStatus | None:
        """Return how this member stands in the group; None if it is alone."""
        ...

    def assignments(self) -> AsyncIterator[frozenset[Assignment]]:
        """Yield everything this member owns, at once and after every change, until it leaves."""
        ...

    def owns(self, assignment: Assignment) -> bool:
        """Whether the assignment holds at this moment, by the member's own monotonic clock."""
        ...
