"""Runs the fault matrix of tests/cluster and writes bench/results/faults.md.

Run: sudo python -m bench.faults [--short] [--rows 04,07,11 [--match TEXT]] [--note TEXT]

With rows named, only they run (of them, only tests whose names match), and what they give replaces
what the table has of the same faults. What each test said is kept beside the table, in
faults.jsonl. Bars and rows: tests/cluster/README.md
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "bench" / "results" / "faults.md"
# One line a run of a test: what the table is made of.
RUNS = TABLE.with_suffix(".jsonl")
_COLUMNS = (
    "row",
    "fault",
    "runs",
    "faults",
    "units",
    "lost",
    "declared",
    "twice",
    "out of order",
    "other checks",
    "tests",
    "takeover p50 s",
    "takeover max s",
    "measured",
)

Run = Mapping[str, object]


def main() -> None:
    options = _options()
    marker = "cluster and not matrix" if options.short else "cluster"
    tests = [f"test_row_{row}_*.py" for row in options.rows] or ["test_row_*.py"]
    files = sorted(str(path) for one in tests for path in (ROOT / "tests" / "cluster").glob(one))
    runs, status = run(files, marker, options.match, options.note)
    if not options.short:
        kept = []
        if options.rows and RUNS.exists():
            again = {(one["row"], one["fault"]) for one in runs}
            kept = [json.loads(line) for line in RUNS.read_text().splitlines()]
            kept = [one for one in kept if (one["row"], one["fault"]) not in again]
        runs = sorted([*kept, *runs], key=lambda one: (one["row"], one["fault"]))
        RUNS.write_text("".join(json.dumps(one) + "\n" for one in runs))
        TABLE.write_text(table(runs))
    print(table(runs))
    sys.exit(status)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="what `make test` runs; prints only")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=[], metavar="04,07")
    parser.add_argument("--match", default="", metavar="TEXT", help="pytest's -k")
    parser.add_argument("--note", default="", metavar="TEXT", help="under what circumstances")
    return parser.parse_args()


def run(files: Sequence[str], marker: str, match: str, note: str) -> tuple[list[Run], int]:
    """Run the tests; return what each said, with when and of what they began, and the status."""
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    began += f" ({', '.join(part for part in (f'commit {_commit()}', note) if part)})"
    folder = Path(tempfile.mkdtemp(prefix="agentsight-matrix-"))
    results = folder / "results.jsonl"
    # pytest prints the seeds; CLUSTER_SEED repeats a run.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += ["-s", "-m", marker, f"--basetemp={folder / 'tests'}", *files]
    command += ["-k", match] if match else []
    environment = {**os.environ, "CLUSTER_RESULTS": str(results)}
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    lines = results.read_text().splitlines() if results.exists() else []
    if status:
        print(f"what the members said is in {folder}")
    else:
        shutil.rmtree(folder)
    return [{**json.loads(line), "began": began} for line in lines], status


def _commit() -> str:
    command = ["git", "-c", f"safe.directory={ROOT}", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def table(runs: Sequence[Run]) -> str:
    """Return the results as Markdown: one line for each kind of fault."""
    faults: dict[tuple[str, str], list[Run]] = {}
    for one in runs:
        faults.setdefault((str(one["row"]), str(one["fault"])), []).append(one)
    failed = [one for one in runs if one["failed"]]
    lines = [
        "# Results of the fault matrix",
        "",
        "Written by `make test-cluster`; the rows and their limits: tests/cluster/README.md.",
        "A unit is a frame with a call of a model and a process. Declared: losses that a record",
        "names; that an agent was killed counts as one for each of its sessions.",
        "",
        *_began(runs),
        f"Tests: {len(runs)}, failed: {len(failed)}.",
        "",
        _row(_COLUMNS),
        _row(["---"] * len(_COLUMNS)),
        *(_row(_cells(row, fault, same)) for (row, fault), same in sorted(faults.items())),
        "",
        *(f"* {one['row']}, {one['fault']}: {one['failed']}" for one in failed),
        *([""] if failed else []),
        "Seeds: " + ", ".join(f"{one['row']}: {one['seed']}" for one in runs),
        "",
    ]
    return "\n".join(lines)


def _began(runs: Iterable[Run]) -> list[str]:
    """Say which rows come from which call of this program."""
    rows: dict[str, set[str]] = {}
    for one in runs:
        rows.setdefault(str(one["began"]), set()).add(str(one["row"]))
    if len(rows) == 1:
        return [f"All rows are of one run, begun at {next(iter(rows))}."]
    return [f"Begun at {time}: rows {', '.join(sorted(rows[time]))}." for time in sorted(rows)]


def _cells(row: str, fault: str, runs: Sequence[Run]) -> list[str]:
    takeovers = [seconds for one in runs for seconds in one["takeover_s"]]
    return [
        row,
        fault,
        str(len(runs)),
        *(_sum(runs, key) for key in ("faults", "units", "lost")),
        str(sum(sum(one["declared"].values()) for one in runs)),
        *(_sum(runs, key) for key in ("twice", "disorder")),
        "; ".join(sorted({name for one in runs for name in one["other"]})) or "hold",
        "failed" if any(one["failed"] for one in runs) else "passed",
        f"{statistics.median(takeovers):.1f}" if takeovers else "",
        f"{max(takeovers):.1f}" if takeovers else "",
        "; ".join(f"{key} {value}" for one in runs for key, value in one["notes"].items()),
    ]


def _sum(runs: Iterable[Run], key: str) -> str:
    return str(sum(one[key] for one in runs))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
