import pytest
from agentsight_aggregator.coordination.account import CoordinationAccount
from agentsight_aggregator.coordination.group import Group, GroupKeys


@pytest.fixture
def group() -> Group:
    return Group(GroupKeys(b"/g/"), {"me", "other"}, {0: ("other", 5), 1: ("me", 6)})


def test_only_what_comes_from_a_member_that_is_gone_is_a_takeover(group: Group) -> None:
    account = CoordinationAccount()
    account.see(group, "me")
    assert (account.assignments, account.takeovers) == (1, 0)
    # Moved by the leader, from one that lives.
    group.assignments[0] = ("me", 7)
    account.see(group, "me")
    assert (account.assignments, account.takeovers) == (2, 0)
    group.assignments[0] = ("other", 8)
    account.see(group, "me")
    group.members.discard("other")
    account.see(group, "me")
    group.assignments[0] = ("me", 9)
    account.see(group, "me")
    account.see(group, "me")
    assert (account.assignments, account.takeovers) == (3, 1)
