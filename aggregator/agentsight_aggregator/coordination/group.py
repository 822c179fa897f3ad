"""What etcd holds about a group of aggregators: its keys, and the state they make up.

    PREFIX/members/ID        made by the member, dies with its lease
    PREFIX/assign/PARTITION  {"owner": ID}, written by the leader; the key's revision is the fence
    PREFIX/leader/LEASE      candidates of the election (etcd's election service makes them)

Must not talk to etcd.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
from agentsight_core.etcd.pb.mvcc_pb2 import Event, KeyValue


class Owner(msgspec.Struct):
    """The value of an assignment."""

    owner: str


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """The names of a group's keys; `prefix` ends with a slash."""

    prefix: bytes

    @property
    def election(self) -> bytes:
        """Name of the election."""
        return self.prefix + b"leader"

    def member(self, member: str) -> bytes:
        """Key of a member."""
        return self.prefix + b"members/" + member.encode()

    def assignment(self, partition: int) -> bytes:
        """Key of a partition's assignment."""
        return self.prefix + b"assign/%d" % partition


@dataclass(slots=True)
class Group:
    """The members and assignments at one revision."""

    keys: GroupKeys
    members: set[str] = field(default_factory=set)
    # Partition to (owner, fence).
    assignments: dict[int, tuple[str, int]] = field(default_factory=dict)

    def load(self, entries: Iterable[KeyValue]) -> None:
        """Take the state that `entries`, all keys of the group, make up."""
        self.members.clear()
        self.assignments.clear()
        for entry in entries:
            self._put(entry)

    def apply(self, events: Iterable[Event]) -> None:
        """Apply changes in the order of their revisions."""
        for event in events:
            if event.type == Event.PUT:
                self._put(event.kv)
            else:
                self._delete(event.kv)

    def owners(self) -> dict[int, str]:
        """Return the owner of each assigned partition, member or not."""
        return {partition: owner for partition, (owner, _) in self.assignments.items()}

    def _put(self, entry: KeyValue) -> None:
        kind, name = self._parse(entry.key)
        if kind == "members":
            self.members.add(name)
        elif kind == "assign" and name.isdecimal():
            self.assignments[int(name)] = (_owner(entry.value), entry.mod_revision)

    def _delete(self, entry: KeyValue) -> None:
        kind, name = self._parse(entry.key)
        if kind == "members":
            self.members.discard(name)
        elif kind == "assign" and name.isdecimal():
            self.assignments.pop(int(name), None)

    def _parse(self, key: bytes) -> tuple[str, str]:
        kind, _, name = key.removeprefix(self.keys.prefix).decode(errors="replace").partition("/")
        return kind, name


def owner_value(member: str) -> bytes:
    """Return the value of an assignment to `member`."""
    return msgspec.json.encode(Owner(member))


def _owner(value: bytes) -> str:
    try:
        return msgspec.json.decode(value, type=Owner).owner
    except msgspec.DecodeError:
        # Written by somebody else: as good as owned by nobody, so the leader writes it anew.
        return ""
