"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed: is it there, and what to do if it is not."""

    name: str
    ok: bool
    # What was seen: a version, a path, a number.
    found: str
    # One sentence; "" when all is well.
    to_do: str = ""


def passed(name: str, found: str) -> Check:
    """Return a check that is ok."""
    return Check(name, ok=True, found=found)


def failed(name: str, found: str, to_do: str) -> Check:
    """Return a check that is not ok."""
    return Check(name, ok=False, found=found, to_do=to_do)
