"""The coordinator of a cluster: membership, leadership and assignments in etcd.

A member goes on while etcd is away, for as long as its lease holds by its own clock; then it owns
nothing until it has joined anew, under another id. Must not protect anything: see the package.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from agentsight_core.errors import Retryable
from agentsight_core.etcd import election, leases
from agentsight_core.etcd import keys as etcd_keys
from agentsight_core.etcd.connection import Etcd, EtcdSettings, connect
from agentsight_core.etcd.failures import LeaseLost, NotFound
from agentsight_core.etcd.leases import Lease
from agentsight_core.etcd.pb.election_pb2 import LeaderKey
from agentsight_core.pb.api_pb2 import CoordinationStatus

from agentsight_aggregator.coordination.account import CoordinationAccount
from agentsight_aggregator.coordination.coordinator import Assignment
from agentsight_aggregator.coordination.group import Group, GroupKeys
from agentsight_aggregator.coordination.leading import assign

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.2
# How long leaving may take when etcd does not answer; the lease ends by itself later.
_LEAVE_SECONDS = 2.0

OnLeader = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """Which group to join, as whom."""

    cluster: str
    # Shown in etcd; need not be unique.
    name: str
    partitions: int
    # After so many whole seconds a member that is gone is replaced; etcd has a minimum, usually 2.
    lease_seconds: int = 3

    @property
    def keys(self) -> GroupKeys:
        """The keys of the group."""
        return GroupKeys(f"/agentsight/{self.cluster}/aggregators/".encode())


@dataclass(frozen=True, slots=True)
class _Membership:
    id: str
    lease: Lease


class EtcdCoordinator:
    """One member of a group; an async context manager.

    Entering returns at once and joins as soon as etcd answers. `on_leader` is awaited whenever this
    member has been elected, before it assigns anything; if it raises Retryable the member resigns.
    """

    def __init__(
        self,
        etcd: EtcdSettings,
        settings: GroupSettings,
        on_leader: OnLeader | None = None,
    ) -> None:
        self._etcd_settings = etcd
        self._settings = settings
        self._on_leader = on_leader
        self._stack = contextlib.AsyncExitStack()
        self._taking_part: asyncio.Task[None] | None = None
        self._lease_id = 0
        self._membership: _Membership | None = None
        self._mine: frozenset[Assignment] = frozenset()
        self._members: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._account = CoordinationAccount()
        self._is_leader = False

    @property
    def member_id(self) -> str:
        """The id under which this process is a member now, "" while it is none."""
        return self._membership.id if self._membership else ""

    @property
    def is_leader(self) -> bool:
        """Whether this member believes that it leads the group."""
        return self._is_leader

    def is_member(self, member: str) -> bool:
        """Whether `member` is in the group, as of the last that etcd said."""
        return member in self._members

    def status(self) -> CoordinationStatus:
        """Return how this member stands in the group."""
        left_seconds = self._membership.lease.left_seconds if self._membership else 0.0
        return CoordinationStatus(
            is_leader=self.is_leader,
            lease_left_ms=max(0, round(left_seconds * 1000)),
            assignments=self._account.assignments,
            takeovers=self._account.takeovers,
            etcd_errors=self._account.etcd_errors,
        )

    async def __aenter__(self) -> Self:
        """Begin to join; raises ConfigError for endpoints or certificates that cannot be used."""
        async with contextlib.AsyncExitStack() as stack:
            etcd = await stack.enter_async_context(connect(self._etcd_settings))
            # An unexpected error in the background cancels whoever has entered.
            group = await stack.enter_async_context(asyncio.TaskGroup())
            self._taking_part = group.create_task(self._take_part(etcd), name="coordination")
            stack.push_async_callback(self._leave, etcd, self._taking_part)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the group, so that its leader gives the partitions to others at once."""
        await self._stack.__aexit__(kind, error, trace)

    async def assignments(self) -> AsyncIterator[frozenset[Assignment]]:
        """Yield everything this member owns, at once and after every change, until it leaves."""
        told: frozenset[Assignment] | None = None
        while self._taking_part is not None:
            changed, mine = self._changed, self._owned()
            if mine != told:
                told = mine
                yield mine
            else:
                await changed.wait()

    def owns(self, assignment: Assignment) -> bool:
        """Whether the assignment holds at this moment, by the member's own clock."""
        return assignment in self._owned()

    def _owned(self) -> frozenset[Assignment]:
        holds = self._membership is not None and self._membership.lease.holds
        return self._mine if holds else frozenset()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ---- membership ----

    async def _take_part(self, etcd: Etcd) -> None:
        while True:
            try:
                await self._be_member(etcd)
            except* LeaseLost as lost:
                self._account.etcd_errors += 1
                _log.warning("no member any more, joining again: %s", lost.exceptions[0])
            except* Retryable as failed:
                self._account.etcd_errors += 1
                _log.warning("cannot join yet: %s", failed.exceptions[0])
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _be_member(self, etcd: Etcd) -> None:
        """Be a member until the lease is lost: raises LeaseLost, Retryable, in a group or not."""
        lost, lease = self._lease_id, await leases.grant(etcd, self._settings.lease_seconds)
        self._lease_id = lease.id
        membership = _Membership(f"{self._settings.name}-{lease.id:x}", lease)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(leases.keep_alive(etcd, lease), name="lease")
                if lost:
                    # etcd prolongs all leases when its leader changes: ours need not be waited for.
                    await leases.revoke(etcd, lost, _LEAVE_SECONDS)
                await self._register(etcd, membership)
                self._membership = membership
                group.create_task(self._follow(etcd, membership), name="group")
                group.create_task(self._lead(etcd, membership), name="election")
        finally:
            self._membership, self._mine = None, frozenset()
            self._notify()

    async def _register(self, etcd: Etcd, membership: _Membership) -> None:
        key = self._settings.keys.member(membership.id)
        try:
            await etcd_keys.put(etcd, key, b"{}", membership.lease.id)
        except NotFound as error:
            raise LeaseLost(f"the lease ended before it was used: {error}") from error

    async def _leave(self, etcd: Etcd, taking_part: asyncio.Task[None]) -> None:
        self._taking_part = None
        taking_part.cancel()
        await asyncio.wait([taking_part])
        self._notify()
        if not self._lease_id:
            return
        try:
            await leases.revoke(etcd, self._lease_id, _LEAVE_SECONDS)
        except Retryable as error:
            _log.warning("etcd does not answer, the membership ends with its lease: %s", error)

    async def _follow(self, etcd: Etcd, membership: _Membership) -> None:
        """Keep what this member owns up to date; raises LeaseLost if it is no member."""
        group = Group(self._settings.keys)
        while True:
            try:
                entries, revision = await etcd_keys.read_prefix(etcd, group.keys.prefix)
                group.load(entries)
                self._show(group, membership)
                watch = etcd_keys.watch_prefix(etcd, group.keys.prefix, revision + 1)
                async with contextlib.aclosing(watch) as changes:
                    async for events in changes:
                        group.apply(events)
                        self._show(group, membership)
            except LeaseLost:
                raise
            except Retryable as error:
                self._account.etcd_errors += 1
                _log.info("following the group: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _show(self, group: Group, membership: _Membership) -> None:
        if membership.id not in group.members:
            raise LeaseLost(f"member {membership.id} was removed")
        self._members = frozenset(group.members)
        self._account.see(group, membership.id)
        self._mine = frozenset(
            Assignment(partition, fence)
            for partition, (owner, fence) in group.assignments.items()
            if owner == membership.id
        )
        self._notify()

    # ---- leadership ----

    async def _lead(self, etcd: Etcd, membership: _Membership) -> None:
        """Stand for election, lead when elected, for ever; raises LeaseLost."""
        name, value = self._settings.keys.election, membership.id.encode()
        while True:
            try:
                leader = await election.campaign(etcd, name, membership.lease.id, value)
                await self._rule(etcd, leader)
            except NotFound as error:
                raise LeaseLost(f"the lease ended before the election: {error}") from error
            except Retryable as error:
                self._account.etcd_errors += 1
                _log.info("election: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _rule(self, etcd: Etcd, leader: LeaderKey) -> None:
        """Assign the partitions after every change, until another leads."""
        if self._on_leader is not None:
            try:
                await self._on_leader()
            except Retryable:
                # Another may be able to do what this member cannot.
                await election.resign(etcd, leader, _LEAVE_SECONDS)
                raise
        self._is_leader = True
        _log.info("leading the group")
        try:
            while await self._assign(etcd, leader):
                pass
        finally:
            self._is_leader = False
            _log.info("leading the group no more")

    async def _assign(self, etcd: Etcd, leader: LeaderKey) -> bool:
        """Assign the partitions and wait until something changes; False if another leads."""
        changed = self._changed
        try:
            leads = await assign(etcd, self._settings.keys, self._settings.partitions, leader)
        except Retryable as error:
            self._account.etcd_errors += 1
            _log.info("assigning: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)
            return True
        if leads:
            await changed.wait()
        return leads
