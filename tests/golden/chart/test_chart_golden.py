"""What the chart renders to, to be read in a diff: `make golden` writes it anew.

`default.yaml` is the whole. The others have what their values change of it: objects that differ or
are new, and the names of those that are missing.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from agentsight_core.testing.helm_chart import CASES, Manifest, rendered

FOLDER = Path(__file__).parent
WHOLE = "default"
# Helm makes other certificates each time.
OF_CERTIFICATES = ("agentsight/made-for", "agentsight/valid-until")
PEM = re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n?", re.DOTALL)


def stable(one: Manifest) -> Manifest:
    """Leave out what is different each time, and what other files of the repository hold."""
    new: Manifest = {**one}
    if one["kind"] == "Secret":
        new["data"] = dict.fromkeys(one.get("data", ()), "…")
        annotations = one["metadata"].get("annotations", {})
        stands = {key: "…" if key in OF_CERTIFICATES else text for key, text in annotations.items()}
        new["metadata"] = {**one["metadata"], "annotations": stands}
    elif one["kind"] == "ConfigMap":
        texts = {key: PEM.sub("(certificate)\n", text) for key, text in one["data"].items()}
        new["data"] = {
            key: "(deploy/grafana)" if key.endswith(".json") else text
            for key, text in texts.items()
        }
    elif one["kind"] == "PrometheusRule":
        new["spec"] = {"groups": [group["name"] for group in one["spec"]["groups"]]}
    return new


def key_of(one: Manifest) -> str:
    meta = one["metadata"]
    return f"{one['kind']} {meta.get('namespace', '-')}/{meta['name']}"


def manifests(case: str) -> dict[str, Manifest]:
    return {key_of(one): stable(one) for one in rendered(case)}


def expected(case: str) -> str:
    mine, whole = manifests(case), manifests(WHOLE)
    if case == WHOLE:
        return text_of(mine.values())
    changed = [one for key, one in mine.items() if one != whole.get(key)]
    return text_of([{"without": sorted(whole.keys() - mine.keys())}, *changed])


class Lines(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Lines.add_representer(str, _text)


def text_of(objects: Iterable[object]) -> str:
    return yaml.dump_all(
        objects, Dumper=Lines, sort_keys=False, width=110, allow_unicode=True, explicit_start=True
    )


@pytest.mark.parametrize("case", CASES)
def test_the_chart_renders_to_what_was_read_before(case: str) -> None:
    file = FOLDER / f"{case}.yaml"
    found = expected(case)
    if os.environ.get("GOLDEN_REWRITE"):
        file.write_text(found)
    assert found == file.read_text()


def test_there_is_no_golden_file_without_values() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == CASES
