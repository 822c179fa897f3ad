"""What may change while a process runs, and what a generation of the configuration is made of.

A generation holds only the values that somebody set; it lies over each node's own file and under
its environment. Pure: must not read files, talk to the bus, or apply anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from agentsight_core.config import keys
from agentsight_core.config.loading import merge_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.config.yaml_file import YamlFile
from agentsight_core.errors import ConfigError

Values = dict[str, Any]

# Everything else is fixed when the process starts: memory is sized by it, connections are made by
# it, or data lies where it says.
LIVE = frozenset(
    {
        "capture.mode",
        "capture.discover",
        "capture.files",
        "capture.limits.files.per_second",
        "capture.limits.files.one_in",
        "capture.limits.network.per_second",
        "capture.limits.network.one_in",
        "capture.limits.tls.per_second",
        "capture.limits.tls.one_in",
        "capture.limits.stdio.per_second",
        "capture.limits.stdio.one_in",
        "capture.local_model_ports",
        "capture.output_bytes",
        "capture.plain_http",
        "capture.shell_input",
        "capture.stdio",
        "capture.network",
        "capture.max_body_bytes",
        "capture.flush_interval_ms",
        "filters.include",
        "filters.exclude",
        "filters.exclude_hosts",
        "filters.include_hosts",
        "filters.exclude_paths",
        "filters.include_paths",
        "sessions.rules",
        "spool.max_bytes",
        "spool.min_free_bytes",
        "spool.segment_bytes",
        "spool.publish_bytes_per_s",
        "bus.events_max_bytes",
        "bus.events_max_age_s",
        "bus.findings_max_bytes",
        "bus.findings_max_age_s",
        "aggregator.tick_interval_ms",
        "aggregator.checkpoint_interval_ms",
        "aggregator.session_idle_s",
        "aggregator.content",
        "exporters.otlp.endpoint",
        "exporters.otlp.protocol",
        "exporters.otlp.headers",
        "exporters.otlp.timeout_ms",
        "exporters.otlp.metrics_interval_ms",
        "exporters.prometheus.enabled",
        "exporters.prometheus.host",
        "exporters.prometheus.port",
        "exporters.jsonl.path",
        "exporters.jsonl.max_bytes",
        "exporters.jsonl.max_files",
        "plugins.analyzers",
        "plugins.exporters",
        "plugins.time_budget_ms",
        "plugins.max_failures",
        "logging.level",
        "logging.format",
    }
)
# Live from the file only: what is in a generation can be read by everybody who reads the bus.
_SECRET = frozenset({"exporters.otlp.headers"})


def changed_keys(old: AgentSightConfig, new: AgentSightConfig) -> list[str]:
    """Return the keys whose values differ, in the order of the models."""
    return [key.text for key in keys.all_keys() if _value(old, key.path) != _value(new, key.path)]


def restart_keys(changed: Iterable[str]) -> list[str]:
    """Return those of `changed` that a running process cannot take."""
    return [key for key in changed if key not in LIVE]


def value_of(config: AgentSightConfig, text: str) -> object:
    """Return the value of a key or section as plain values; raises ConfigError if there is none."""
    value: Any = config.model_dump(mode="json")
    for step in text.split(".") if text else ():
        if not isinstance(value, dict) or step not in value:
            raise unknown_key(text)
        value = value[step]
    return value


def with_value(values: Mapping[str, Any], text: str, value: object) -> Values:
    """Return a copy of a generation's `values` with `text` set; None takes it out.

    A text is read as YAML, as in the environment. Raises ConfigError for a key that does not exist,
    cannot change live or must not be in a generation.
    """
    key = {key.text: key for key in keys.all_keys()}.get(text)
    if key is None:
        raise unknown_key(text)
    if problems := problems_of_keys([text]):
        raise ConfigError("\n".join(problems))
    if isinstance(value, str) and key.is_structured:
        try:
            value = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{text}: is no YAML list or mapping") from error
    return _put(values, key.path, value)


def problems_of_generation(values: Mapping[str, Any], name: str) -> list[str]:
    """Return all that is wrong with a generation's values by themselves, a sentence each."""
    try:
        merge_config(YamlFile(name, values=dict(values)), {})
    except ConfigError as error:
        return str(error).splitlines()
    return problems_of_keys(_given_keys(values))


def problems_of_keys(given: Iterable[str]) -> list[str]:
    """Say of each key that may not be in a generation why not."""
    problems = [f"restart needed: {key}; set it in the file" for key in restart_keys(given)]
    return problems + [
        f"{key}: may hold credentials; set it in the file or the environment"
        for key in given
        if key in _SECRET
    ]


def unknown_key(text: str) -> ConfigError:
    """Return the error for a key that does not exist, with the nearest that does."""
    known = [key.text for key in keys.all_keys()]
    meant = keys.nearest(text, known)
    hint = f"did you mean {meant}?" if meant else f"allowed: {', '.join(sorted(LIVE))}"
    return ConfigError(f"{text}: is no known key; {hint}")


def _given_keys(values: Mapping[str, Any]) -> list[str]:
    found = []
    for key in keys.all_keys():
        value: Any = values
        for step in key.path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is not None:
            found.append(key.text)
    return found


def _put(values: Mapping[str, Any], path: tuple[str, ...], value: object) -> Values:
    result = dict(values)
    step, rest = path[0], path[1:]
    inner = _put(result.get(step) or {}, rest, value) if rest else value
    if inner is None or inner == {}:
        result.pop(step, None)
    else:
        result[step] = inner
    return result


def _value(config: AgentSightConfig, path: tuple[str, ...]) -> object:
    value: Any = config
    for step in path:
        value = getattr(value, step)
    return value
