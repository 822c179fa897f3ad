"""install.sh in a bare Debian: what it installs, a second call, removal. No systemd runs there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_core.testing.containers import BASE_IMAGE, docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
WHEEL = "/src/dist/wheels/agentsight_cluster-*.whl"
# What is in a wheel is looked for beside it; there is no network.
OFFLINE = ("--network", "none", "--env", "PIP_NO_INDEX=1", "--env", "TERM=dumb")
# As root on a host has: the doctor loads the programs.
RIGHTS = ("--pid", "host", "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE")


class Host:
    """A container in the place of a host."""

    def __init__(self, name: str) -> None:
        self._name = name
        mount = ("--volume", f"{ROOT}:/src:ro")
        words = ("--detach", "--name", name, *OFFLINE, *RIGHTS, *mount)
        docker("run", *words, "--security-opt", "seccomp=unconfined", BASE_IMAGE, "sleep", "900")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        words = ["docker", "exec", self._name, "sh", "-c", command]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def install(self, options: str = "") -> str:
        done = self.run(f"cd /src && ./install.sh --from {WHEEL} {options}")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        docker("rm", "--force", self._name)


@pytest.fixture
def host() -> Iterator[Host]:
    found = Host(f"agentsighthost{os.getpid()}")
    try:
        yield found
    finally:
        found.close()


def test_it_installs_is_called_again_and_leaves_nothing(host: Host) -> None:
    said = host.install()
    assert "NOT OK" not in said
    assert "verified and attached" in said
    assert "systemd does not run here" in said
    assert host.run("agentsight --version").stdout.startswith("agentsight ")
    unit = "/etc/systemd/system/agentsight-up.service"
    wanted = (ROOT / "deploy" / "systemd" / "agentsight-up.service").read_text()
    assert host.run(f"cat {unit}").stdout == wanted

    host.run("echo 'logging: {level: debug}' >/etc/agentsight/agentsight.yaml")
    host.install("--unit aggregator")
    # It is still there, and the user of that unit may read it, others may not.
    read = "--clear-groups cat /etc/agentsight/agentsight.yaml"
    assert "debug" in host.run(f"setpriv --reuid agentsight --regid agentsight {read}").stdout
    assert host.run(f"setpriv --reuid 65534 --regid 65534 {read}").returncode != 0

    assert host.run("cd /src && ./install.sh --uninstall").returncode == 0
    assert host.run("ls /etc/agentsight").stdout == "agentsight.yaml\n"
    assert host.run("cd /src && ./install.sh --uninstall --purge").returncode == 0
    left = host.run(f"ls -d /etc/agentsight /opt/agentsight /var/lib/agentsight {unit}")
    assert left.stdout == ""


def test_what_is_wrong_is_said(host: Host) -> None:
    done = host.run("cd /src && ./install.sh --from /tmp")
    assert done.returncode == 1
    assert "there are no sources in /tmp" in done.stderr
    done = host.run("cd /src && ./install.sh --unit everything")
    assert done.returncode == 2
    assert "up, agent or aggregator" in done.stderr
