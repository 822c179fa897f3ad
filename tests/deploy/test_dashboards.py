"""The dashboards follow the rules of Grafana's dashboard-linter, and are what the list makes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
NAMES = ("cost", "fleet", "pipeline", "session", "side-effects")
# Units of Grafana that our panels use (packages/grafana-data/src/valueFormats/categories.ts).
UNITS = {"short", "s", "d", "bytes", "Bps", "ops", "reqps", "percentunit", "currencyUSD"}
# Counters of partitions are exact and never begin anew (docs/adr/0004): a difference is a count.
EXACT_SUMS = {"Open sessions"}
# Label sets of one panel have to stay few: no ids, pids, paths, prompts.
FORBIDDEN_LABELS = ("session_id", "trace_id", "pid", "path", "container_id", "k8s_pod_name")


def read(name: str) -> dict[str, Any]:
    found = json.loads((FOLDER / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def panels(name: str) -> list[dict[str, Any]]:
    return list(read(name)["panels"])


def metric_panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in panels(name) if panel["datasource"]["type"] == "prometheus"]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_files_are_what_the_generator_makes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "gen_dashboards.py", "--check"], check=False
    )
    assert done.returncode == 0
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(NAMES)


def test_it_can_be_provisioned(name: str) -> None:
    board = read(name)
    assert "__inputs" not in board
    assert not board["editable"]
    assert 39 <= board["schemaVersion"] <= 42
    assert board["uid"] == f"agentsight-{name}"
    assert board["title"]
    assert board["description"]


def test_variables_are_those_of_the_linter(name: str) -> None:
    variables = {item["name"]: item for item in read(name)["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for key in ("job", "instance"):
        variable = variables[key]
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
        # 2: when the time that is shown changes.
        assert variable["refresh"] == 2


def test_every_panel_says_what_it_shows(name: str) -> None:
    seen = set()
    for panel in panels(name):
        assert panel["title"]
        assert panel["title"] not in seen
        seen.add(panel["title"])
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"]
        assert panel["datasource"]["uid"] in {"${datasource}", "${traces_datasource}"}


def test_no_two_panels_are_in_one_place(name: str) -> None:
    taken = set()
    for panel in panels(name):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_every_selector_has_job_and_instance(name: str) -> None:
    for panel in metric_panels(name):
        for target in panel["targets"]:
            for selector in re.findall(r"[a-z_]+\{([^}]*)\}", target["expr"]):
                assert 'job=~"$job", instance=~"$instance"' in selector, panel["title"]
            # A metric without matchers at all.
            assert not re.search(
                r"(?:agentsight|gen_ai_\w+)_(?:total|bucket|sum)\b(?!\{)", target["expr"]
            )


def test_windows_are_those_of_grafana(name: str) -> None:
    for panel in metric_panels(name):
        for target in panel["targets"]:
            windows = set(re.findall(r"\[([^\]]+)\]", target["expr"]))
            # The second: sums over the time that is shown.
            whole = {"$__range"} if panel["type"] != "timeseries" else set()
            assert windows <= {"$__rate_interval"} | whole, panel["title"]


def test_counters_are_only_shown_as_rates(name: str) -> None:
    for panel in metric_panels(name):
        if panel["title"] in EXACT_SUMS:
            continue
        for target in panel["targets"]:
            rest = re.sub(r"(?:rate|irate|increase)\(\w+\{[^}]*\}\[[^\]]+\]\)", "", target["expr"])
            assert "_total" not in rest, panel["title"]


def test_labels_are_few(name: str) -> None:
    for panel in metric_panels(name):
        for target in panel["targets"]:
            for labels in re.findall(r"by \(([^)]*)\)", target["expr"]):
                names = {label.strip() for label in labels.split(",")}
                assert not names & set(FORBIDDEN_LABELS), panel["title"]


def test_the_session_board_leads_to_traces() -> None:
    queries = [target for panel in metric_panels("session") for target in panel["targets"]]
    buckets = [target for target in queries if "_bucket" in target["expr"]]
    assert buckets
    assert all(target["exemplar"] for target in buckets)
    assert any(panel["datasource"]["type"] == "jaeger" for panel in panels("session"))
