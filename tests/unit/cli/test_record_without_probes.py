"""`record` where there is no eBPF, and the scripts for there."""

from __future__ import annotations

import pytest
from agentsight_cli import recorded
from agentsight_cli.app import app
from agentsight_core.errors import ConfigError
from typer.testing import CliRunner


def test_macos_gets_the_proxy_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded._without_probes("darwin")
    said = capsys.readouterr().err
    assert "no eBPF on darwin: watching by --proxy" in said
    assert "agentsight tracer dtrace" in said


def test_windows_gets_the_way_to_a_trace() -> None:
    with pytest.raises(ConfigError, match="agentsight tracer etw"):
        recorded._without_probes("win32")


@pytest.mark.parametrize(("system", "line"), [("dtrace", "dtrace:::BEGIN"), ("etw", "tracerpt")])
def test_the_scripts_are_printed(system: str, line: str) -> None:
    result = CliRunner().invoke(app, ["tracer", system])
    assert result.exit_code == 0
    assert line in result.stdout
