"""Plugins: how an installed package offers a source, an analyzer or an exporter, and what is there.

A package names an object of one of the classes below in an entry-point group:

    [project.entry-points."agentsight.analyzers"]
    words = "my_package:WORDS"        # WORDS = AnalyzerPlugin(api=1, make=make_words)

Importing it must have no effect; `make` gets the plugin's own options, as texts. Must not run
plugins: agent and aggregator do, within limits of time and failures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar

from agentsight_core.errors import ConfigError
from agentsight_core.ports import Analyzer, Exporter, Source

# Grows when a plugin of the version before could not run any more.
PLUGIN_API = 1

Options = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AnalyzerPlugin:
    """Makes a fold of one partition; its findings stand behind those of the built-in analyzers.

    Its findings must have ids that are its own: hash its name into them (`agentsight_core.ids`).
    """

    GROUP: ClassVar[str] = "agentsight.analyzers"
    api: int
    make: Callable[[Options], Analyzer]


@dataclass(frozen=True, slots=True)
class ExporterPlugin:
    """Makes an exporter, open inside of the context; it must not block the event loop."""

    GROUP: ClassVar[str] = "agentsight.exporters"
    api: int
    make: Callable[[Options], AbstractAsyncContextManager[Exporter]]


@dataclass(frozen=True, slots=True)
class SourcePlugin:
    """Makes a source of events on a node; it must not block the event loop."""

    GROUP: ClassVar[str] = "agentsight.sources"
    api: int
    make: Callable[[Options], Source]


Plugin = AnalyzerPlugin | ExporterPlugin | SourcePlugin
KINDS: Mapping[str, type[Plugin]] = {
    "analyzer": AnalyzerPlugin,
    "exporter": ExporterPlugin,
    "source": SourcePlugin,
}


@dataclass(frozen=True, slots=True)
class Installed:
    """An entry point that some installed package has."""

    kind: str
    name: str
    # Name and version of the package.
    package: str
    version: str
    plugin: Plugin | None
    # Why it cannot be used; "" if it can.
    problem: str = ""


def installed_plugins() -> Iterator[Installed]:
    """Yield all plugins that are installed, also those that cannot be used."""
    for kind, plugin_type in KINDS.items():
        for point in sorted(entry_points(group=plugin_type.GROUP), key=lambda one: one.name):
            package = point.dist.name if point.dist else ""
            version = point.dist.version if point.dist else ""
            plugin, problem = _load(point, plugin_type)
            yield Installed(kind, point.name, package, version, plugin, problem)


def find_plugin(kind: str, name: str) -> Plugin:
    """Return an installed plugin; raises ConfigError with what is installed, or what is wrong."""
    found = [one for one in installed_plugins() if one.kind == kind]
    for one in found:
        if one.name == name and one.plugin is not None:
            return one.plugin
        if one.name == name:
            raise ConfigError(f"plugins: {kind} {name} of {one.package}: {one.problem}")
    known = ", ".join(one.name for one in found) or "none"
    raise ConfigError(f"plugins: no {kind} {name} is installed here; installed: {known}")


def _load(point: EntryPoint, plugin_type: type[Plugin]) -> tuple[Plugin | None, str]:
    try:
        plugin = point.load()
    except Exception as error:  # noqa: BLE001  # code of others: it must not end the command or the service
        return None, f"cannot be imported: {type(error).__name__}: {error}"
    if not isinstance(plugin, plugin_type):
        return None, f"{point.value} is no {plugin_type.__name__}"
    if plugin.api != PLUGIN_API:
        return None, f"made for plugin API {plugin.api}; this version has {PLUGIN_API}"
    return plugin, ""
