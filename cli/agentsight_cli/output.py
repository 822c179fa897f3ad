"""How the command writes: colour at a terminal, plain text into files and pipes, JSON on demand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TextIO

from agentsight_cli.summary import Stages, ledger_text
from agentsight_cli.tree import Line, to_rich, to_text


def print_tree(lines: Sequence[Line], out: TextIO) -> None:
    """Write the trees, in colour if `out` is a terminal."""
    if not out.isatty():
        out.write(to_text(lines))
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal needs it

    console = Console(file=out, soft_wrap=True)
    for line in lines:
        console.print(to_rich(line))


def print_ledger(stages: Stages, out: TextIO) -> None:
    """Write the loss ledger as a table."""
    out.write(ledger_text(stages))


def print_json(value: object, out: TextIO) -> None:
    """Write one JSON object on one line.

    Pure ASCII: some readers take U+2028 and its like, unescaped in a text, for the end of the line.
    """
    out.write(json.dumps(value) + "\n")


def print_table(rows: Sequence[Sequence[str]], out: TextIO) -> None:
    """Write rows in columns; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.write("  ".join(cells).rstrip() + "\n")
