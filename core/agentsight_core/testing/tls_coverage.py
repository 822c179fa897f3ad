"""The table of docs/tls-coverage.md: which TLS is read, as real clients showed.

Must not run clients: tests/bpf/test_tls_coverage.py does, and gives what it saw.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

CAPTURED = "captured"

_BEGIN, _END = "<!-- rows of the test -->", "<!-- end of the rows -->"
_TITLES = ("TLS", "linking", "symbols", "client", "expected", "actual")


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of client; `expected` and `actual` are "captured" or "not captured: REASON"."""

    tls: str
    linking: str
    symbols: str
    client: str
    expected: str
    actual: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it another row."""
        return astuple(self)[:4]


def read_rows(path: Path) -> dict[tuple[str, ...], Row]:
    """Return the rows of the table in the document at `path`."""
    lines = path.read_text().split(_BEGIN)[1].split(_END)[0].strip().splitlines()[2:]
    rows = (Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines)
    return {row.key: row for row in rows}


def write_row(path: Path, row: Row) -> None:
    """Put `row` into the table in the place of the one with its key, or in its alphabetic place."""
    before, rest = path.read_text().split(_BEGIN)
    after = rest.split(_END)[1]
    rows = {**read_rows(path), row.key: row}
    lines = [_TITLES, ("---",) * len(_TITLES), *(astuple(rows[key]) for key in sorted(rows))]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    path.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}")
