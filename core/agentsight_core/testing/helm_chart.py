"""The Helm chart as the real helm renders it, for tests of what it makes.

Helm is there: `make setup-dev` fetches it (scripts/setup_helm.sh). Must not need a cluster.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "agentsight"
HELM = ROOT / ".setup" / "helm" / "helm"
KUBECTL = HELM.with_name("kubectl")
# The values files under ci/, by name.
CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
RELEASE, NAMESPACE = "r", "main"

# An object of Kubernetes, as it stands in a manifest.
Manifest = dict[str, Any]


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run helm; AssertionError if it is not there."""
    assert HELM.exists(), "helm is not there: run `make setup-dev`"
    return subprocess.run([HELM, *words], capture_output=True, text=True, check=False)  # noqa: S603  # tests choose the words


def values_of(case: str) -> Path:
    """Return the values file of a case."""
    return CHART / "ci" / f"{case}-values.yaml"


def template(*words: str) -> subprocess.CompletedProcess[str]:
    """Render the chart as release `RELEASE` in `NAMESPACE`."""
    return helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *words)


@functools.cache
def rendered(case: str) -> tuple[Manifest, ...]:
    """Return all objects that a values file gives, those of `helm test` too."""
    done = template("--values", str(values_of(case)))
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.safe_load_all(done.stdout) if one)


def of_kind(case: str, *kinds: str) -> list[Manifest]:
    """Return the objects of some kinds."""
    return [one for one in rendered(case) if one["kind"] in kinds]


def pods_in(objects: Iterable[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield each object that makes pods, with the specification of the pods."""
    for one in objects:
        if one["kind"] in ("DaemonSet", "Deployment", "StatefulSet", "Job"):
            yield one, one["spec"]["template"]["spec"]
        elif one["kind"] == "Pod":
            yield one, one["spec"]


def pods(case: str) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield what makes pods in a case, with the specification of the pods."""
    return pods_in(rendered(case))


def containers(spec: Manifest) -> list[Manifest]:
    """Return all containers of a pod."""
    return [*spec.get("initContainers", ()), *spec["containers"]]
