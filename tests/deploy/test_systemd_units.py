"""The systemd units: systemd reads them, and they leave no more rights than the containers have."""

import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
WATCHING = {"agentsight-up.service", "agentsight-agent.service"}
# systemd-analyze security: 0 is nothing allowed, 10 is everything.
EXPOSURE = {True: 5.0, False: 2.0}


def settings(unit: Path) -> dict[str, str]:
    lines = [line for line in unit.read_text().splitlines() if "=" in line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def test_there_is_a_unit_for_each_way_to_install() -> None:
    assert {unit.name for unit in UNITS} == WATCHING | {"agentsight-aggregator.service"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_them(unit: Path, tmp_path: Path) -> None:
    # It looks whether the program is there; any is.
    text = unit.read_text().replace("ExecStart=/opt/agentsight/venv/bin/", "ExecStart=/bin/true ")
    copy = tmp_path / unit.name
    copy.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", copy]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_they_are_closed(unit: Path) -> None:
    limit = EXPOSURE[unit.name in WATCHING]
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={limit * 10:.0f}"]
    done = subprocess.run([*command, unit], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_capabilities_are_those_of_the_containers(unit: Path) -> None:
    services = yaml.safe_load((ROOT / "deploy/compose/capabilities.yaml").read_text())["services"]
    agent = {f"CAP_{name}" for name in services["agent"]["cap_add"]}
    allowed = set(settings(unit)["CapabilityBoundingSet"].split())
    assert allowed == (agent if unit.name in WATCHING else set())
