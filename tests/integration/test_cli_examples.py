"""The example agent and server: the official SDKs understand every answer, all tools run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCENARIOS = sorted((EXAMPLES / "scenarios").glob("*.json"))
TIMEOUT_S = 90

pytestmark = pytest.mark.server


def test_the_agent_does_all_jobs(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with subprocess.Popen(
        [
            *(sys.executable, str(EXAMPLES / "llm_server.py"), "--folder", str(tmp_path)),
            *("--scenarios", str(EXAMPLES / "scenarios")),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        done = subprocess.run(
            [
                *(sys.executable, "-W", "error::DeprecationWarning"),
                *(str(EXAMPLES / "demo_agent.py"), "--folder", str(tmp_path / "work")),
                *("--log", str(tmp_path / "log"), *map(str, SCENARIOS)),
            ],
            env={
                **os.environ,
                "ANTHROPIC_BASE_URL": url,
                "OPENAI_BASE_URL": f"{url}/v1",
                "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
                "ANTHROPIC_API_KEY": "none",
                "OPENAI_API_KEY": "none",
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        server.stdin.close()
        assert server.wait(TIMEOUT_S) == 0
    assert done.returncode == 0, done.stderr
    scenarios = [json.loads(path.read_text(encoding="utf-8")) for path in SCENARIOS]
    steps = [step for scenario in scenarios for step in scenario["steps"]]
    said = [line.removeprefix("model: ") for line in done.stdout.splitlines() if "model: " in line]
    assert said == [step["text"] for step in steps if step["text"]]
    runs = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    asked = [call["id"] for step in steps for call in step.get("tool_calls", [])]
    assert sorted(run["id"] for run in runs) == sorted(asked)
    assert "blue boat" in (tmp_path / "work/notes/harbour.txt").read_text("utf-8")
    assert [run["failed"] for run in runs].count(True) == 1
