"""Runs the fault matrix of tests/cluster and writes bench/results/faults.md.

Run: sudo python -m bench.faults [--short] [tests…]; with tests named, the table is only printed.
Bars and rows: tests/cluster/README.md
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "bench" / "results" / "faults.md"
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
    "takeover p50 s",
    "takeover max s",
    "measured",
)


def main() -> None:
    arguments = sys.argv[1:]
    is_short = "--short" in arguments
    options = [argument for argument in arguments if argument != "--short"]
    marker = "cluster and not matrix" if is_short else "cluster"
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.jsonl"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly"]
        # pytest prints the seeds; CLUSTER_SEED repeats a run.
        command += ["-s", "-m", marker, *(options or ["tests/cluster"])]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "CLUSTER_RESULTS": str(results)}, check=False
        )
        lines = results.read_text().splitlines() if results.exists() else []
    text = table(
        [json.loads(line) for line in lines],
        f"pytest ended with status {done.returncode}.",
    )
    print(text)
    if not options and not is_short:
        TABLE.write_text(text)
    sys.exit(done.returncode)


def table(runs: Sequence[Mapping[str, object]], remark: str) -> str:
    """Return the results as Markdown: one line for each kind of fault."""
    faults: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for run in runs:
        faults.setdefault((str(run["row"]), str(run["fault"])), []).append(run)
    lines = [
        "# Results of the fault matrix",
        "",
        "Written by `make test-cluster`; rows: tests/cluster/README.md. A unit is a frame with a",
        "call of a model and a process. Declared: units that a loss record names.",
        remark,
        "",
        _row(_COLUMNS),
        _row(["---"] * len(_COLUMNS)),
        *(_row(_cells(row, fault, same)) for (row, fault), same in sorted(faults.items())),
        "",
        "Seeds: " + ", ".join(f"{run['row']}: {run['seed']}" for run in runs),
        "",
    ]
    return "\n".join(lines)


def _cells(row: str, fault: str, runs: Sequence[Mapping[str, object]]) -> list[str]:
    takeovers = [seconds for run in runs for seconds in run["takeover_s"]]
    return [
        row,
        fault,
        str(len(runs)),
        *(_sum(runs, key) for key in ("faults", "units", "lost")),
        str(sum(sum(run["declared"].values()) for run in runs)),
        *(_sum(runs, key) for key in ("twice", "disorder")),
        "; ".join(sorted({name for run in runs for name in run["other"]})) or "hold",
        f"{statistics.median(takeovers):.1f}" if takeovers else "",
        f"{max(takeovers):.1f}" if takeovers else "",
        "; ".join(f"{key} {value}" for run in runs for key, value in run["notes"].items()),
    ]


def _sum(runs: Iterable[Mapping[str, object]], key: str) -> str:
    return str(sum(run[key] for run in runs))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
