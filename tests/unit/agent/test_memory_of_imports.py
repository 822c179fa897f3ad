"""What an agent does not use it does not load: its memory is that of every node."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "library", ["cryptography", "grpc", "agentsight_core.testing", "psutil", "difflib"]
)
def test_an_agent_does_not_load(library: str) -> None:
    code = f"import sys, agentsight_agent.service; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
