"""The keys of a group, read at once and followed change by change."""

import pytest
from agentsight_aggregator.coordination.group import Group, GroupKeys, owner_value
from agentsight_core.etcd.pb.mvcc_pb2 import Event, KeyValue

KEYS = GroupKeys(b"/agentsight/west/aggregators/")
ENTRIES = [
    KeyValue(key=KEYS.member("a-1"), value=b"{}", mod_revision=3),
    KeyValue(key=KEYS.member("odd/name-2"), value=b"{}", mod_revision=4),
    KeyValue(key=KEYS.assignment(0), value=owner_value("a-1"), mod_revision=7),
    KeyValue(key=KEYS.assignment(12), value=owner_value("gone-9"), mod_revision=8),
    KeyValue(key=KEYS.election + b"/5f", value=b"a-1", mod_revision=5),
]


def put(key: bytes, value: bytes = b"{}", revision: int = 9) -> Event:
    return Event(type=Event.PUT, kv=KeyValue(key=key, value=value, mod_revision=revision))


def delete(key: bytes) -> Event:
    return Event(type=Event.DELETE, kv=KeyValue(key=key, mod_revision=9))


def test_entries_make_up_members_and_assignments() -> None:
    group = Group(KEYS)
    group.load(ENTRIES)
    assert group.members == {"a-1", "odd/name-2"}
    assert group.assignments == {0: ("a-1", 7), 12: ("gone-9", 8)}
    assert group.owners() == {0: "a-1", 12: "gone-9"}
    group.load(ENTRIES[:1])
    assert (group.members, group.assignments) == ({"a-1"}, {})


def test_following_changes_gives_what_reading_gives() -> None:
    group, read = Group(KEYS), Group(KEYS)
    group.apply(put(entry.key, entry.value, entry.mod_revision) for entry in ENTRIES)
    read.load(ENTRIES)
    assert group == read


def test_changes_are_applied_in_order() -> None:
    group = Group(KEYS)
    group.load(ENTRIES)
    group.apply([delete(KEYS.member("a-1")), delete(KEYS.assignment(12)), delete(KEYS.election)])
    group.apply([put(KEYS.assignment(0), owner_value("odd/name-2"), 11), put(KEYS.member("b-3"))])
    assert group.members == {"odd/name-2", "b-3"}
    assert group.assignments == {0: ("odd/name-2", 11)}


@pytest.mark.parametrize("value", [b"", b"a-1", b"[]", b'{"owner": 3}', b"\xff"])
def test_an_assignment_that_cannot_be_read_has_no_owner(value: bytes) -> None:
    group = Group(KEYS)
    group.load([KeyValue(key=KEYS.assignment(1), value=value, mod_revision=2)])
    assert group.assignments == {1: ("", 2)}


def test_keys_of_others_are_left_alone() -> None:
    group = Group(KEYS)
    group.load([KeyValue(key=KEYS.prefix + name) for name in (b"assign/x", b"assign/", b"notes/1")])
    assert (group.members, group.assignments) == (set(), {})
