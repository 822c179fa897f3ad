"""Puts a configuration together from file, environment and flags, and says all that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentsight_core.config import keys
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.config.section import Section
from agentsight_core.config.yaml_file import YamlFile, read_yaml_file
from agentsight_core.errors import ConfigError

# Names the configuration file when no flag does.
CONFIG_VARIABLE = "AGENTSIGHT_CONFIG"

# Values that may hold credentials are never repeated in messages.
_SENSITIVE = {"headers", "servers", "endpoint"}
# Only a variable this close to a known one is a typing error: Kubernetes itself sets
# AGENTSIGHT_PORT_… and the like for a service called "agentsight".
_TYPO_CUTOFF = 0.9


def load_config(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, object] | None = None
) -> AgentSightConfig:
    """Return the configuration: flag > environment > file > default.

    `path` None means the file that `AGENTSIGHT_CONFIG` names, or no file. `flags` maps keys such as
    "exporters.otlp.endpoint" to values; None values count as not given, as do empty variables.
    Raises ConfigError, whose message has one line for each thing that is wrong.
    """
    path = config_path(path, environ)
    return merge_config(YamlFile("") if path is None else read_yaml_file(path), environ, flags)


def config_path(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: `path`, else the one that `AGENTSIGHT_CONFIG` names, else None."""
    if path is None and environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    return path


def merge_config(
    file: YamlFile,
    environ: Mapping[str, str],
    flags: Mapping[str, object] | None = None,
    generation: YamlFile | None = None,
) -> AgentSightConfig:
    """Return the configuration: flag > environment > generation of the cluster > file > default.

    Raises ConfigError, whose message has one line for each thing that is wrong.
    """
    values = _without_empty_sections(file.values, AgentSightConfig)
    problems = list(file.problems)
    origins: dict[keys.Path, str] = {}
    for key_path, value in _leaves(generation.values if generation else {}):
        if _put(values, key_path, value) and generation:
            origins[key_path] = generation.name
    for key, value in _from_environment(environ, problems):
        if _put(values, key.path, value):
            origins[key.path] = key.variable
    for text, value in (flags or {}).items():
        flag_path = tuple(text.split("."))
        if value is not None and _put(values, flag_path, value):
            origins[flag_path] = "command line"

    try:
        config = AgentSightConfig.model_validate(values)
    except ValidationError as error:
        problems += [
            _sentence(item, _origin(item["loc"], origins) or file.place(item["loc"]))
            for item in error.errors(include_url=False)
        ]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _leaves(
    values: Mapping[str, object],
    model: type[Section] = AgentSightConfig,
    prefix: tuple[str, ...] = (),
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield what is set in `values`: sections are merged, everything else is replaced."""
    for name, value in values.items():
        field = model.model_fields.get(name)
        section = None if field is None else keys.section_of(field)
        if section is not None and isinstance(value, dict):
            yield from _leaves(value, section, (*prefix, name))
        else:
            yield (*prefix, name), value


def _from_environment(
    environ: Mapping[str, str], problems: list[str]
) -> list[tuple[keys.Key, object]]:
    known = {key.variable: key for key in keys.all_keys()}
    found: list[tuple[keys.Key, object]] = []
    for name, text in environ.items():
        if not name.startswith(keys.VARIABLE_PREFIX) or name == CONFIG_VARIABLE or not text:
            continue
        key = known.get(name)
        if key is None:
            meant = keys.nearest(name, known, cutoff=_TYPO_CUTOFF)
            if meant is not None:
                problems.append(f"{name}: is no known variable; did you mean {meant}?")
        elif key.is_structured:
            try:
                found.append((key, yaml.safe_load(text)))
            except yaml.YAMLError:
                problems.append(f"{name}: {key.text}: is no YAML list or mapping")
        else:
            found.append((key, text))
    return found


def _without_empty_sections(values: Mapping[str, object], model: type[Section]) -> dict[str, Any]:
    """Return a copy of `values` without sections whose every line is commented out (null)."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        field = model.model_fields.get(name)
        section = None if field is None else keys.section_of(field)
        if section is not None and value is None:
            continue
        if section is not None and isinstance(value, dict):
            value = _without_empty_sections(value, section)  # noqa: PLW2901  the same value, cleaned
        result[name] = value
    return result


def _put(values: dict[str, Any], path: tuple[str, ...], value: object) -> bool:
    """Set `value` at `path`; False if something that is no section stands in the way."""
    for step in path[:-1]:
        section = values.setdefault(step, {})
        if not isinstance(section, dict):
            return False  # the validation reports what the file has there
        values = section
    values[path[-1]] = value
    return True


def _origin(path: keys.Path, origins: Mapping[keys.Path, str]) -> str:
    """Return the variable or flag that gave the value at `path`, "" if the file did."""
    ends = range(len(path), 0, -1)
    return next((origins[path[:end]] for end in ends if path[:end] in origins), "")


def _sentence(error: ErrorDetails, where: str) -> str:
    """Return one line: where, which key, what is wrong, what is allowed."""
    path: keys.Path = error["loc"]
    head = ": ".join(part for part in (where, keys.path_text(path)) if part)
    if error["type"] == "extra_forbidden":
        allowed = keys.allowed_names(path[:-1])
        meant = keys.nearest(str(path[-1]), allowed)
        hint = f"did you mean {meant}? " if meant else ""
        return f"{head}: is no known key; {hint}allowed: {', '.join(allowed)}"
    return f"{head}: {_given(error)}{_what(error)}"


def _given(error: ErrorDetails) -> str:
    value = error["input"]
    if _SENSITIVE.intersection(error["loc"]) or not isinstance(value, str | int | float):
        return ""
    text = repr(value)
    return f"{text} is wrong: " if len(text) <= 80 else ""


def _what(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "literal_error":
        return f"allowed: {error['ctx']['expected']}"
    if error["type"] in {"model_type", "model_attributes_type"}:
        return f"must be a section; allowed: {', '.join(keys.allowed_names(error['loc']))}"
    return message[:1].lower() + message[1:]
