"""`agentsight plugins ls`: which plugins are installed here, and which take part."""

from __future__ import annotations

import sys

from agentsight_core.config import AgentSightConfig
from agentsight_core.plugins import PLUGIN_API, Installed, installed_plugins

from agentsight_cli.output import print_json, print_table


def run_list(config: AgentSightConfig, *, as_json: bool) -> int:
    """List the installed plugins; 1 if one that should take part cannot be used."""
    found = list(installed_plugins())
    wanted = [("analyzer", name) for name in config.plugins.analyzers]
    wanted += [("exporter", name) for name in config.plugins.exporters]
    wanted += [("source", name) for name in config.plugins.sources]
    usable = {(one.kind, one.name) for one in found if not one.problem}
    missing = [one for one in wanted if one not in usable]
    if as_json:
        rows = [_row(one, (one.kind, one.name) in wanted) for one in found]
        print_json({"api": PLUGIN_API, "plugins": rows}, sys.stdout)
        return int(bool(missing))
    if not found:
        print("no plugins are installed", file=sys.stderr)
    else:
        rows_text = [("kind", "name", "package", "state")]
        rows_text += [
            (one.kind, one.name, f"{one.package} {one.version}", _state(one, wanted))
            for one in found
        ]
        print_table(rows_text, sys.stdout)
    for kind, name in missing:
        print(f"plugins: {kind} {name} cannot be used here", file=sys.stderr)
    return int(bool(missing))


def _row(one: Installed, enabled: bool) -> dict[str, object]:
    return {
        "kind": one.kind,
        "name": one.name,
        "package": one.package,
        "version": one.version,
        "enabled": enabled,
        "problem": one.problem,
    }


def _state(one: Installed, wanted: list[tuple[str, str]]) -> str:
    if one.problem:
        return one.problem
    return "takes part" if (one.kind, one.name) in wanted else "installed"
