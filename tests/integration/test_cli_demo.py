"""The main job, end to end: real SDKs, real TLS, real probes, real bus; all captured, none lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.server]

TIMEOUT_S = 110


def test_the_demo_captures_everything() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agentsight_cli", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["problems"] == [], done.stderr
    assert done.returncode == 0, done.stderr
    assert found["ok"] is True
    assert found["events_lost"] == 0
    assert found["events_captured"] > 100
    for key, count in found["expected"].items():
        if key in found:
            assert found[key] == count > 0
    assert found["processes"] > found["expected"]["commands"]
    assert found["edges"] > found["tool_calls"]
    assert "Traceback" not in done.stderr
    assert "never retrieved" not in done.stderr
