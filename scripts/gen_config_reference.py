#!/usr/bin/env python3
"""Writes docs/configuration.md from the models; `--check` only says whether it is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from agentsight_core.config.reference import render_reference

TARGET = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"


def main() -> int:
    """Return the exit status: 1 when `--check` finds the file stale."""
    text = render_reference()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET.name} is stale: run scripts/gen_config_reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
