"""Placement: complete, even, sticky; nothing moves that need not."""

from agentsight_aggregator.coordination.placement import place
from hypothesis import given
from hypothesis import strategies as st

PARTITIONS = st.integers(1, 96)
MEMBERS = st.sets(st.text("abcdef0123456789-", min_size=1, max_size=8), min_size=1, max_size=9)


def loads(placed: dict[int, str], members: set[str]) -> list[int]:
    return sorted(list(placed.values()).count(member) for member in members)


def moves(before: dict[int, str], after: dict[int, str]) -> set[int]:
    return {partition for partition, owner in after.items() if before.get(partition) != owner}


@given(PARTITIONS, MEMBERS, st.dictionaries(st.integers(-2, 99), st.text("abc-", max_size=3)))
def test_every_partition_has_one_member_and_shares_are_even(
    partitions: int, members: set[str], owners: dict[int, str]
) -> None:
    placed = place(partitions, members, owners)
    assert sorted(placed) == list(range(partitions))
    assert set(placed.values()) <= members
    counts = loads(placed, members)
    assert counts[-1] - counts[0] <= 1


@given(PARTITIONS, MEMBERS)
def test_a_placement_that_is_right_stays(partitions: int, members: set[str]) -> None:
    placed = place(partitions, members, {})
    assert place(partitions, sorted(members, reverse=True), placed) == placed


@given(PARTITIONS, MEMBERS, st.text("xyz", min_size=1, max_size=3))
def test_who_joins_takes_its_share_and_nothing_else_moves(
    partitions: int, members: set[str], new: str
) -> None:
    before = place(partitions, members, {})
    after = place(partitions, members | {new}, before)
    moved = moves(before, after)
    assert {after[partition] for partition in moved} <= {new}
    assert len(moved) <= -(-partitions // (len(members) + 1))


@given(PARTITIONS, MEMBERS, st.data())
def test_of_who_leaves_only_its_own_partitions_move(
    partitions: int, members: set[str], data: st.DataObject
) -> None:
    before = place(partitions, members, {})
    gone = data.draw(st.sampled_from(sorted(members)))
    after = place(partitions, members - {gone}, before)
    if len(members) == 1:
        assert after == {}
    else:
        assert moves(before, after) == {p for p, owner in before.items() if owner == gone}


@given(PARTITIONS, st.lists(MEMBERS, min_size=1, max_size=6))
def test_it_is_even_after_any_history(partitions: int, history: list[set[str]]) -> None:
    placed: dict[int, str] = {}
    for members in history:
        placed = place(partitions, members, placed)
        counts = loads(placed, members)
        assert sum(counts) == partitions
        assert counts[-1] - counts[0] <= 1


def test_without_members_nothing_is_placed() -> None:
    assert place(4, set(), {0: "a"}) == {}
