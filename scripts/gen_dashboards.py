#!/usr/bin/env python3
"""Writes deploy/grafana/dashboards from scripts/dashboards.yaml; `--check` says if one is stale.

The yaml names what differs: titles, queries, units. What every panel must have by the rules of
Grafana's dashboard-linter (a description, the datasource, matchers of job and instance) is put in
here, so that no panel can lack it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "scripts" / "dashboards.yaml"
TARGET = ROOT / "deploy" / "grafana" / "dashboards"

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_MATCHERS = 'job=~"$job", instance=~"$instance"'
_EMPTY = " Empty until there was one."
_COLUMNS = 24
_HEIGHT = 8
# Classic schema that Grafana 10 to 12 read.
_SCHEMA_VERSION = 39


def expand(query: str, extra: str = "") -> str:
    """Put the matchers where the query has SEL, and the scrape window where it has RANGE."""
    matchers = f"{_MATCHERS}, {extra}" if extra else _MATCHERS
    return query.replace("SEL", matchers).replace("RANGE", "[$__rate_interval]")


def _panel(number: int, row: dict[str, Any], left: int, top: int) -> dict[str, Any]:
    kind = row.get("type", "timeseries")
    targets = [
        {
            "datasource": _DATASOURCE,
            "editorMode": "code",
            "expr": expand(query),
            "legendFormat": legend,
            "refId": chr(ord("A") + position),
            "range": kind == "timeseries",
            "instant": kind != "timeseries",
            "exemplar": bool(row.get("exemplars")),
            **({"format": "table"} if kind == "table" else {}),
        }
        for position, (legend, query) in enumerate(row["queries"].items())
    ]
    defaults: dict[str, Any] = {"unit": row["unit"]}
    if kind == "timeseries" and row.get("stacked"):
        defaults["custom"] = {"stacking": {"mode": "normal"}, "fillOpacity": 20}
    return {
        "id": number,
        "type": kind,
        "title": row["title"],
        "description": row["about"] + _EMPTY * ("fault" in row),
        "datasource": _DATASOURCE,
        "gridPos": {"x": left, "y": top, "w": row.get("width", 8), "h": _HEIGHT},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(kind),
        "targets": targets,
        **_transformed(kind),
        **({"links": row["links"]} if "links" in row else {}),
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        legend = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull"]}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
    return {"showHeader": True}


def _transformed(kind: str) -> dict[str, Any]:
    """Return what takes the column of the time away from a table."""
    if kind != "table":
        return {}
    return {"transformations": [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]}


def _variable(name: str, label: str, metric: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": f"label_values({metric}, {name})", "refId": "Variables"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _datasource(name: str, label: str, kind: str) -> dict[str, Any]:
    return {"name": name, "label": label, "type": "datasource", "query": kind, "current": {}}


def dashboard(uid: str, source: dict[str, Any]) -> dict[str, Any]:
    """Return a dashboard in the classic schema; panels flow from left to right."""
    panels: list[dict[str, Any]] = []
    left = top = 0
    for row in source["panels"]:
        width = row.get("width", 8)
        if left + width > _COLUMNS:
            left, top = 0, top + _HEIGHT
        if row.get("type") == "traces":
            panels.append(_traces(len(panels) + 1, row, left, top))
        else:
            panels.append(_panel(len(panels) + 1, row, left, top))
        left += width
    variables = [
        _datasource("datasource", "Metrics", "prometheus"),
        _variable("job", "Job", "agentsight_build_info"),
        _variable("instance", "Instance", 'agentsight_build_info{job=~"$job"}'),
    ]
    if any(row.get("type") == "traces" for row in source["panels"]):
        variables.append(_datasource("traces_datasource", "Traces", "jaeger"))
    return {
        "uid": f"agentsight-{uid}",
        "title": f"AgentSight / {source['title']}",
        "description": source["about"],
        "tags": ["agentsight"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": _SCHEMA_VERSION,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "timezone": "browser",
        "templating": {"list": variables},
        "links": [
            {
                "type": "dashboards",
                "title": "AgentSight",
                "tags": ["agentsight"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "panels": panels,
    }


def _traces(number: int, row: dict[str, Any], left: int, top: int) -> dict[str, Any]:
    """Return a table of traces: the one kind of panel that asks Jaeger, not Prometheus."""
    source = {"type": "jaeger", "uid": "${traces_datasource}"}
    target = {"datasource": source, "queryType": "search", "refId": "A", **row["search"]}
    return {
        "id": number,
        "type": "table",
        "title": row["title"],
        "description": row["about"],
        "datasource": source,
        "gridPos": {"x": left, "y": top, "w": row.get("width", 8), "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": row["unit"]}, "overrides": []},
        "options": {"showHeader": True},
        "targets": [target],
    }


def render() -> dict[str, str]:
    """Return the text of every file by its name."""
    sources = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return {
        f"{uid}.json": json.dumps(dashboard(uid, source), indent=2, ensure_ascii=False) + "\n"
        for uid, source in sources.items()
    }


def main() -> int:
    """Return the exit status: 1 when `--check` finds a file stale."""
    stale = []
    for name, text in render().items():
        path = TARGET / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"{', '.join(stale)}: run scripts/gen_dashboards.py", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
