"""The section about plugins: which of the installed ones take part, and their limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from agentsight_core.config.section import Milliseconds, Section


class PluginsConfig(Section):
    """Packages of others that take part; `agentsight plugins ls` shows what is installed."""

    analyzers: tuple[str, ...] = ()
    """Names of analyzer plugins that see every event beside the built-in analyzers."""

    exporters: tuple[str, ...] = ()
    """Names of exporter plugins that get every finding."""

    sources: tuple[str, ...] = ()
    """Names of source plugins whose files and connections of watched processes are taken."""

    options: dict[str, str] = Field(default={})
    """Options of plugins: `NAME.OPTION` to its value; what they mean, the plugin says."""

    time_budget_ms: Milliseconds = 500
    """Longest time that an analyzer plugin may take for one event, in milliseconds; an exporter
    plugin may take a hundred times that for one batch."""

    max_failures: Annotated[int, Field(ge=1)] = 10
    """Failures after which a plugin is switched off: of a source, of an analyzer in one partition,
    of an exporter one after the other."""

    @field_validator("options", mode="after")
    @classmethod
    def _name_a_plugin(cls, options: dict[str, str]) -> dict[str, str]:
        for key in options:
            name, dot, option = key.partition(".")
            if not (name and dot and option):
                raise ValueError(f"{key!r} must be NAME.OPTION")
        return options

    def options_of(self, name: str) -> dict[str, str]:
        """Return the options of the plugin `name`, without its name."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): value
            for key, value in self.options.items()
            if key.startswith(prefix)
        }
