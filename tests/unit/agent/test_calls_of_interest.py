"""The program after every system call returns at once for calls that it has no use for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_BPF = Path(__file__).parents[3] / "bpf"
_ASKED = ("file.bpf.c", "change.bpf.c", "stdio.bpf.c", "lib/vectors.bpf.h")
_CALL = re.compile(r"(?:case |== )(__NR_\w+|FCHMODAT2)\b")
_INTEREST = re.compile(r"bool is_of_interest\(.*?\n}\n", re.DOTALL)


def _of_interest() -> set[str]:
    found = _INTEREST.search((_BPF / "file.bpf.c").read_text())
    assert found
    return set(_CALL.findall(found[0]))


@pytest.mark.parametrize("source", _ASKED)
def test_every_call_that_something_is_done_about_is_looked_at(source: str) -> None:
    """One that is missing from the list would never be seen, and nothing would tell."""
    handled = set(_CALL.findall(_INTEREST.sub("", (_BPF / source).read_text())))
    assert handled
    assert handled - _of_interest() == set()


def test_no_call_is_looked_at_for_nothing() -> None:
    """Each costs all processes of the machine."""
    sources = [_INTEREST.sub("", (_BPF / source).read_text()) for source in _ASKED]
    assert _of_interest() - set(_CALL.findall("".join(sources))) == set()
