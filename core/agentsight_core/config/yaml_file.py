"""A YAML file as plain values, with the line of each key and every duplicate key reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from agentsight_core.config import keys
from agentsight_core.errors import ConfigError


@dataclass(slots=True)
class YamlFile:
    """What a configuration file says and where."""

    name: str
    values: dict[str, object] = field(default_factory=dict)
    # Line (from 1) of each key and list item.
    lines: dict[keys.Path, int] = field(default_factory=dict)
    # Complete sentences.
    problems: list[str] = field(default_factory=list)

    def place(self, path: keys.Path) -> str:
        """Return `file:line` of the innermost known part of `path`."""
        for end in range(len(path), 0, -1):
            if (line := self.lines.get(path[:end])) is not None:
                return f"{self.name}:{line}"
        return self.name


def read_yaml_file(path: Path) -> YamlFile:
    """Return the content of the file; raise ConfigError if it is no YAML mapping."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), name=str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text (byte {error.start})") from error


def parse_yaml(text: str, *, name: str) -> YamlFile:
    """Return the content of `text`; `name` stands in messages. Raises ConfigError."""
    result = YamlFile(name)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError(f"{place}: is no YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # ValueError: a scalar that looks like a date and is none.
        raise ConfigError(f"{name}: is no YAML: {error}") from error
    if node is None or values is None:
        return result
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: must be a mapping of sections; allowed: {_sections()}")
    result.values = values
    _walk(node, (), result, set())
    return result


def _walk(node: yaml.Node, path: keys.Path, result: YamlFile, seen: set[int]) -> None:
    if id(node) in seen:
        return  # an alias; its anchor was walked
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for key_node, value_node in node.value:
            name = str(key_node.value)
            here = (*path, name)
            line = key_node.start_mark.line + 1
            if name in names:
                result.problems.append(
                    f"{result.name}:{line}: {keys.path_text(here)}: is given twice"
                )
            names.add(name)
            result.lines[here] = line
            _walk(value_node, here, result, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            result.lines[*path, index] = item.start_mark.line + 1
            _walk(item, (*path, index), result, seen)


def _sections() -> str:
    return ", ".join(keys.allowed_names(()))
