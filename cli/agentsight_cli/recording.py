"""What became of a recorded command, whoever has watched it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a recorded command."""

    # As a shell would report it: 128 + n for signal n.
    exit_status: int
    ledger: list[dict[str, object]]
    # What this way of watching cannot see, in words.
    unseen: tuple[str, ...] = ()
