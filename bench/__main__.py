"""Runs every measurement of this folder, one after the other, and keeps what each printed.

    .venv/bin/python -m bench [NAME…]      NAME: drain, parsers, fold…

The output goes to the terminal and to `results/NAME.txt`.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

_FOLDER = Path(__file__).parent


def main(names: list[str]) -> int:
    """Run the named measurements, all of them when there is no name; 1 when one failed."""
    known = {path.stem.removeprefix("bench_"): path for path in _FOLDER.glob("bench_*.py")}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}", file=sys.stderr)
        return 2
    failed = [name for name in names or sorted(known) if not _run(name, known[name])]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, path: Path) -> bool:
    print(f"== {name}", flush=True)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    print(done.stdout, end="")
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return False
    head = f"# {datetime.now(UTC):%Y-%m-%d}, Linux {platform.release()}, {platform.machine()}\n"
    (_FOLDER / "results").mkdir(exist_ok=True)
    (_FOLDER / "results" / f"{name}.txt").write_text(head + done.stdout)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
