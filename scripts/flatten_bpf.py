"""Prints a C source with the sources that it includes by `#include "..."`, each once.

BCC looks for programs in the main file only. usage: flatten_bpf.py FILE
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_INCLUDE = re.compile(r'#include "(.+)"')


def flattened(path: Path, root: Path, seen: set[Path]) -> list[str]:
    """Return the lines of `path`; `seen` grows by what is in them."""
    seen.add(path)
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        include = _INCLUDE.fullmatch(line)
        if include:
            beside = (path.parent / include[1]).resolve()
            other = beside if beside.exists() else (root / include[1]).resolve()
            if other not in seen:
                lines += flattened(other, root, seen)
        elif line != "#pragma once":
            lines.append(line)
    return lines


if __name__ == "__main__":
    main = Path(sys.argv[1]).resolve()
    print("\n".join(flattened(main, main.parent, set())))
