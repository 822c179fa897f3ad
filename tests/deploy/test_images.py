"""What is in the images and what is not, and that they run as they are meant to."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from agentsight_core.testing.containers import docker, image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
TARGETS = ("agent", "aggregator", "cli", "nats", "etcd")
# What must not be there, by image: modules and programs.
FOREIGN_MODULES = {
    "agent": ["agentsight_aggregator", "agentsight_cli", "grpc", "agentsight_core.testing"],
    "aggregator": ["agentsight_agent", "agentsight_cli", "typer", "agentsight_core.testing"],
}
COMPILERS = ("gcc", "cc", "clang", "ld", "make", "pip")


def run(target: str, *command: str) -> str:
    """Run a program in a container that may do nothing: no network, no capability, no writing."""
    entry, *arguments = command
    limits = ("--rm", "--read-only", "--network", "none", "--cap-drop", "ALL")
    return docker("run", *limits, "--entrypoint", entry, image(target), *arguments)


def config_of(target: str) -> dict:
    return json.loads(docker("image", "inspect", image(target)))[0]["Config"]


@pytest.mark.parametrize("target", TARGETS)
def test_labels_user_and_health_check(target: str) -> None:
    config = config_of(target)
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"agentsight-{target}"
    assert labels["org.opencontainers.image.version"][0].isdigit()
    assert len(labels["org.opencontainers.image.revision"]) >= 7
    assert labels["org.opencontainers.image.created"][:2] == "20"
    assert labels["org.opencontainers.image.base.name"].endswith(":bookworm")
    assert config["User"] == ("" if target == "agent" else "65532:65532")
    assert (config.get("Healthcheck") is None) == (target == "cli")


@pytest.mark.parametrize("target", FOREIGN_MODULES)
def test_nothing_of_the_others(target: str) -> None:
    code = "import importlib.util as u, sys\n"
    code += "def has(name):\n  try: return bool(u.find_spec(name))\n"
    code += "  except ModuleNotFoundError: return False\n"
    code += "print([name for name in sys.argv[1:] if has(name)])"
    names = [*FOREIGN_MODULES[target], "agentsight_core.runtime"]
    assert run(target, "python", "-c", code, *names) == "['agentsight_core.runtime']"


@pytest.mark.parametrize("target", ["agent", "aggregator", "cli"])
def test_no_compiler_and_no_pip(target: str) -> None:
    words = "; ".join(f"command -v {program} || true" for program in COMPILERS)
    assert run(target, "sh", "-c", words) == ""


def test_the_agent_has_its_objects() -> None:
    code = "import agentsight_agent.bpf as b, pathlib\n"
    code += "print(sorted(p.name for p in pathlib.Path(b.__file__).parent.iterdir()))"
    there = run("agent", "python", "-c", code)
    assert all(f"agentsight.{machine}.bpf.o" in there for machine in ("x86_64", "aarch64"))
    assert "usage" in run("agent", "python", "-m", "agentsight_agent", "--help")


def test_programs_start_without_any_right() -> None:
    assert "usage" in run("aggregator", "python", "-m", "agentsight_aggregator", "--help")
    assert run("cli", "agentsight", "--version").startswith("agentsight ")
    assert "nats-server: v2." in run("nats", "nats-server", "--version")
    assert "etcd Version: 3." in run("etcd", "etcd", "--version")


def test_the_sbom_names_what_is_in_the_image() -> None:
    code = "import importlib.metadata as m, json\n"
    code += "print(json.dumps({d.name: d.version for d in m.distributions()}))"
    there = json.loads(run("agent", "python", "-I", "-c", code))
    wanted = {normal(name): version for name, version in there.items()}
    del wanted["agentsight-cluster"]
    environment = {**os.environ, "IMAGE_TAG": "test"}
    subprocess.run([ROOT / "scripts" / "make_sbom.sh", "agent"], env=environment, check=True)
    bom = json.loads((ROOT / "dist" / "sbom" / "agent.cdx.json").read_text())
    listed = {normal(c["name"]): c["version"] for c in bom["components"]}
    assert bom["metadata"]["component"]["name"] == "agentsight-cluster"
    assert {"protobuf", "nats-py", "cryptography"} <= listed.keys()
    assert listed == wanted
    debian = run("agent", "dpkg-query", "--show", "--showformat", "${Package} ${Version}\n")
    bom = json.loads((ROOT / "dist" / "sbom" / "agent.system.cdx.json").read_text())
    listed_there = {f"{c['name']} {c['version']}" for c in bom["components"]}
    assert "libbpf1" in debian
    assert set(debian.splitlines()) <= listed_there


def normal(name: str) -> str:
    """Return the name of a package as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
