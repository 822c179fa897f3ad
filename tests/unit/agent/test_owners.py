"""Connections by their processes."""

from __future__ import annotations

import pytest
from agentsight_agent.owners import Owners
from hypothesis import given
from hypothesis import strategies as st


@given(st.dictionaries(st.integers(), st.integers(0, 3)), st.data())
def test_a_process_has_what_was_added_and_not_removed(
    owner_of: dict[int, int], data: st.DataObject
) -> None:
    owners = Owners()
    for key, pid in owner_of.items():
        owners.add(pid, key)
    for key in data.draw(st.sets(st.sampled_from(sorted(owner_of)))) if owner_of else ():
        owners.remove(owner_of.pop(key), key)
    for pid in range(5):
        assert owners.keys_of(pid) == sorted(key for key, of in owner_of.items() if of == pid)


def test_a_key_of_another_process_is_not_removed() -> None:
    owners = Owners()
    owners.add(1, 7)
    with pytest.raises(KeyError):
        owners.remove(2, 7)
    assert owners.keys_of(1) == [7]
