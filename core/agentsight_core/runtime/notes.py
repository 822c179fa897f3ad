"""Notes that a running process leaves, so that others on the machine find it.

One JSON file a component, `STATE_DIR/run/COMPONENT.json`, mode 0600 in a directory of mode 0700,
there from when the process is ready until it ends; and one with its ledger when it has ended.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentsight_core.telemetry.ledger import Ledger


@contextmanager
def announced(
    state_dir: Path, component: str, facts: Mapping[str, object]
) -> Iterator[Callable[[Mapping[str, object]], object]]:
    """Leave a note with `facts` (JSON values; "pid" is added) while the context is open.

    Gives a function that writes the note anew, with other facts.
    """

    def write(facts: Mapping[str, object]) -> Path:
        return _write(state_dir, component, {"pid": os.getpid(), **facts})

    path = write(facts)
    try:
        yield write
    finally:
        path.unlink(missing_ok=True)


def leave_ledger(state_dir: Path, component: str, ledger: Ledger) -> None:
    """Write down the ledger of a component that ends."""
    _write(state_dir, f"{component}-ledger", {"stages": ledger.as_dict()})


def read_ledger(state_dir: Path, component: str) -> list[dict[str, object]]:
    """Return the stages of a component that has ended; FileNotFoundError if it left nothing."""
    text = (state_dir / "run" / f"{component}-ledger.json").read_text()
    stages = json.loads(text)["stages"]
    assert isinstance(stages, list)
    return stages


def read_note(state_dir: Path, component: str) -> dict[str, object] | None:
    """Return the note of a component whose process is alive, or None.

    Raises PermissionError when the note belongs to another user.
    """
    try:
        text = (state_dir / "run" / f"{component}.json").read_text()
    except FileNotFoundError:
        return None
    note = json.loads(text)
    assert isinstance(note, dict)
    return note if Path(f"/proc/{note['pid']}").exists() else None


def _write(state_dir: Path, name: str, content: Mapping[str, object]) -> Path:
    folder = state_dir / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    new.replace(path)
    return path
