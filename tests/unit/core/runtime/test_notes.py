"""Notes of running processes: there while they run, private, gone or ignored afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from agentsight_core.runtime.notes import announced, leave_ledger, read_ledger, read_note
from agentsight_core.telemetry.ledger import Ledger


def test_a_note_is_there_while_the_context_is_open(tmp_path: Path) -> None:
    assert read_note(tmp_path, "agent") is None
    with announced(tmp_path, "agent", {"telemetry_port": 9465}):
        assert read_note(tmp_path, "agent") == {"pid": os.getpid(), "telemetry_port": 9465}
        assert read_note(tmp_path, "bus") is None
    assert read_note(tmp_path, "agent") is None


def test_a_note_goes_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), announced(tmp_path, "agent", {}):
        raise RuntimeError("on purpose")
    assert read_note(tmp_path, "agent") is None


def test_the_note_of_a_process_that_was_killed_counts_for_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from agentsight_core.runtime.notes import announced\n"
        "with announced(Path(sys.argv[1]), 'bus', {'url': 'nats://127.0.0.1:1'}):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert json.loads((tmp_path / "run" / "bus.json").read_text())["url"]
    assert read_note(tmp_path, "bus") is None


def test_nobody_else_may_read_notes(tmp_path: Path) -> None:
    with announced(tmp_path, "agent", {}):
        folder = tmp_path / "run"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert [file.stat().st_mode & 0o777 for file in folder.iterdir()] == [0o600]


def test_a_ledger_outlives_its_process(tmp_path: Path) -> None:
    ledger = Ledger()
    stage = ledger.stage("drain", "records")
    stage.received = stage.emitted = 3
    leave_ledger(tmp_path, "agent", ledger)
    assert read_ledger(tmp_path, "agent") == ledger.as_dict()
    with pytest.raises(FileNotFoundError):
        read_ledger(tmp_path, "aggregator")
