"""What a generator says it did, in a file of its own that is synced before anything else happens.

The oracle of the cluster's tests: independent of the code under test. One line a fact:

    T SESSION UNIT DIGEST    taken: this unit is about to be put into the spool
    D SESSION UNIT           durable: the spool has said that it and all before are on the disk
    E                        ended: everything is delivered
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from agentsight_core.ids import parse_session, session_text


class LedgerWriter:
    """Appends facts; blocks, as `sync` has to."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._lines: list[str] = []

    def taken(self, session: int, unit: int, digest: str) -> None:
        """Note a unit; it counts after `sync`."""
        self._lines.append(f"T {session_text(session)} {unit} {digest}\n")

    def durable(self, session: int, unit: int) -> None:
        """Note that the spool has the unit on its disk."""
        self._lines.append(f"D {session_text(session)} {unit}\n")

    def ended(self) -> None:
        """Note that nothing is left to deliver."""
        self._lines.append("E\n")

    def sync(self) -> None:
        """Bring what is noted to the disk."""
        lines, self._lines = self._lines, []
        os.write(self._descriptor, "".join(lines).encode())
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


@dataclass(slots=True)
class LedgerOfUnits:
    """The facts of one generator, over all its runs."""

    # Unit number to digest of its content, for each session.
    taken: dict[int, dict[int, str]] = field(default_factory=dict)
    # Units that the spool had on its disk.
    durable: dict[int, set[int]] = field(default_factory=dict)
    ended: bool = False


def read_ledger_of_units(path: Path) -> LedgerOfUnits:
    """Return what is in the file; a line that a kill has torn is left out."""
    ledger = LedgerOfUnits()
    if not path.exists():
        return ledger
    for line in path.read_text().splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        match line.split():
            case ["T", session, unit, digest]:
                ledger.taken.setdefault(parse_session(session), {})[int(unit)] = digest
            case ["D", session, unit]:
                ledger.durable.setdefault(parse_session(session), set()).add(int(unit))
            case ["E"]:
                ledger.ended = True
            case _:
                raise ValueError(f"{path}: {line!r} is no line of a ledger")
    return ledger
