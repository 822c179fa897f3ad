"""`agentsight config get|set|unset|apply|history|rollback|status`: the cluster's configuration.

It lies on the bus; every agent and aggregator takes it from there. Must not touch files of others.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml
from agentsight_core.bus.generations import Generation, Report
from agentsight_core.config.live import problems_of_generation, value_of
from agentsight_core.config.loading import merge_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.config.yaml_file import YamlFile, parse_yaml
from agentsight_core.errors import ConfigError

from agentsight_cli.config_source import ConfigSource, open_source
from agentsight_cli.output import print_json, print_table
from agentsight_cli.running import run

T = TypeVar("T")


def run_get(config: AgentSightConfig, address: str, key: str, *, as_json: bool) -> int:
    """Show what the cluster has set, all of it or one key."""
    last = _with_source(config, address, lambda it: it.last())
    if key:
        value: object = last.values
        for step in key.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            # A typing error is told; and what a node has without a file.
            default = value_of(AgentSightConfig(), key)
            print(f"{key} is not set; nodes have their own value, by default {default}")
            return 1
        print_json(value, sys.stdout) if as_json else print(_yaml(value))
        return 0
    if as_json:
        print_json(msgspec.to_builtins(last), sys.stdout)
    else:
        print(f"# generation {last.number}{_origin(last)}")
        print(_yaml(last.values) if last.values else "# nothing is set: each node has its own file")
    return 0


def run_set(config: AgentSightConfig, address: str, key: str, value: str | None) -> int:
    """Set one key for all members, or take it out."""
    new = _with_source(config, address, lambda it: it.set_value(key, value, _author()))
    print(f"generation {new.number}: {new.note}")
    return 0


def run_apply(config: AgentSightConfig, address: str, file: Path) -> int:
    """Replace everything that the cluster has set by a file."""
    text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    parsed = parse_yaml(text, name=str(file))
    _check(parsed)
    note = f"applied {file.name}"
    new = _with_source(config, address, lambda it: it.apply(parsed.values, _author(), note))
    print(f"generation {new.number}: {new.note}")
    return 0


def run_rollback(config: AgentSightConfig, address: str, number: int) -> int:
    """Make an older generation the newest again."""
    new = _with_source(config, address, lambda it: it.roll_back(number, _author()))
    print(f"generation {new.number}: {new.note}")
    return 0


def run_history(config: AgentSightConfig, address: str, *, as_json: bool) -> int:
    """List the generations that are kept, newest first."""
    found = list(reversed(_with_source(config, address, lambda it: it.history())))
    if as_json:
        print_json(msgspec.to_builtins(found), sys.stdout)
        return 0
    rows = [("generation", "time", "author", "what")]
    rows += [(str(one.number), _time(one.time_ns), one.author, one.note) for one in found]
    print_table(rows, sys.stdout)
    return 0


def run_status(config: AgentSightConfig, address: str, *, as_json: bool) -> int:
    """Show who runs which generation; 1 if somebody does not run the newest one."""

    async def read(source: ConfigSource) -> tuple[Generation, list[Report]]:
        return await source.last(), await source.reports()

    last, reports = _with_source(config, address, read)
    behind = [one for one in reports if not one.ok or one.generation != last.number]
    if as_json:
        members = msgspec.to_builtins(reports)
        print_json({"generation": last.number, "members": members}, sys.stdout)
        return int(bool(behind))
    print(f"newest: generation {last.number}{_origin(last)}")
    rows = [("component", "name", "runs", "state", "reported")]
    rows += [
        (one.component, one.name, str(one.generation), _state(one, last), _time(one.time_ns))
        for one in reports
    ]
    print_table(rows, sys.stdout)
    for one in reports:
        for problem in one.problems:
            print(f"{one.component} {one.name}: {problem}")
    return int(bool(behind))


def _with_source(
    config: AgentSightConfig, address: str, work: Callable[[ConfigSource], Awaitable[T]]
) -> T:
    async def connected() -> T:
        async with open_source(config, address) as source:
            return await work(source)

    return run(connected())


def _check(parsed: YamlFile) -> None:
    """Say all that is wrong with a file, with its lines."""
    merge_config(parsed, {})
    problems = problems_of_generation(parsed.values, parsed.name)
    if problems:
        raise ConfigError("\n".join(f"{parsed.name}: {problem}" for problem in problems))


def _state(report: Report, last: Generation) -> str:
    if not report.ok:
        return f"refused {report.offered}" if report.offered > report.generation else "bad file"
    pinned = f"; its environment keeps {', '.join(report.pinned)}" if report.pinned else ""
    return ("ok" if report.generation == last.number else "taking it") + pinned


def _author() -> str:
    return f"{getpass.getuser()}@{os.uname().nodename}"


def _origin(generation: Generation) -> str:
    if not generation.number:
        return ""
    return f", {_time(generation.time_ns)}, {generation.author}: {generation.note}"


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _yaml(value: object) -> str:
    text = yaml.safe_dump(value, sort_keys=True, default_flow_style=False)
    return text.removesuffix("...\n").rstrip()
