"""Keeps a running process on the newest configuration that it can take.

Two sources: the process' own file, and the generations on the bus. What is refused leaves the last
good one in place, and is said: in the log, in the metrics, on the bus. Must not know what a value
does; that is the service's `apply`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentsight_core.bus.connection import Bus
from agentsight_core.bus.generations import NOTHING_SET, Generation, GenerationLog, Report
from agentsight_core.config import keys
from agentsight_core.config.live import changed_keys, restart_keys
from agentsight_core.config.loading import config_path, merge_config
from agentsight_core.config.models import AgentSightConfig
from agentsight_core.config.watched_file import WatchedFile
from agentsight_core.config.yaml_file import YamlFile, parse_yaml, read_yaml_file
from agentsight_core.errors import AgentSightError, ConfigError, Permanent, Retryable
from agentsight_core.telemetry.logs import LogSettings, configure_logging

_log = logging.getLogger(__name__)

# Takes a valid configuration; raises AgentSightError, with nothing changed, if it cannot be.
Apply = Callable[[AgentSightConfig], Awaitable[None]]

_POLL_S = 1.0
_REPORT_S = 10.0


@dataclass(slots=True)
class _Sources:
    """What a configuration is made of, in the order in which it wins."""

    environ: Mapping[str, str]
    generation: Generation = NOTHING_SET
    file: YamlFile = field(default_factory=lambda: YamlFile(""))

    def merged(self) -> AgentSightConfig:
        name = f"generation {self.generation.number}"
        return merge_config(self.file, self.environ, None, YamlFile(name, self.generation.values))


class LiveConfig:
    """The configuration of one process: `config` is the one that runs."""

    def __init__(self, component: str, path: Path | None, environ: Mapping[str, str]) -> None:
        """Read file and environment; raises ConfigError with all that is wrong."""
        self._component = component
        path = config_path(path, environ)
        self._file = WatchedFile(path) if path else None
        if self._file:
            self._file.take()
        self._sources = _Sources(environ, file=read_yaml_file(path) if path else YamlFile(""))
        self.config = self._sources.merged()
        self._cache = self.config.node.state_dir / f"{component}-generation.json"
        self._offered = 0
        self._file_problems: list[str] = []
        self._generation_problems: list[str] = []
        # What was refused last is no worse than the moment at which it was offered.
        self._may_be_taken_later = False
        self._apply: Apply | None = None
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._serving = asyncio.Event()
        self._recall()

    @property
    def generation(self) -> int:
        """Number of the generation that runs; 0 if none was ever set."""
        return self._sources.generation.number

    @property
    def problems(self) -> list[str]:
        """All that is wrong with what was offered last and refused, a sentence each."""
        return self._file_problems + self._generation_problems

    def serve(self, apply: Apply) -> None:
        """Hand every change to `apply` from now on; the watches wait for this."""
        self._apply = apply
        self._serving.set()

    async def watch_file(self, poll_s: float = _POLL_S) -> None:
        """Take changes of the file until cancelled."""
        await self._serving.wait()
        while self._file is not None:
            await asyncio.sleep(poll_s)
            await self.look_at_file()

    async def watch_bus(self, bus: Bus, poll_s: float = _POLL_S) -> None:
        """Take generations from the bus, and report what runs, until cancelled."""
        await self._serving.wait()
        log = GenerationLog(bus)
        reported_at, trouble = -_REPORT_S, ""
        while True:
            try:
                await self.offer(await log.last())
                if self._changed.is_set() or time.monotonic() - reported_at >= _REPORT_S:
                    self._changed.clear()
                    await log.report(self.report())
                    reported_at = time.monotonic()
                trouble = ""
            except AgentSightError as error:
                # The next look makes up for it; what runs goes on.
                if str(error) != trouble:
                    trouble = str(error)
                    _log.warning("the cluster's configuration cannot be read: %s", error)
            await asyncio.sleep(poll_s)

    async def look_at_file(self) -> None:
        """Take the file if it has a new text that is at rest; refuse it if it is wrong."""
        assert self._file is not None
        path = self._file.path
        try:
            text = self._file.poll()
            if text is None:
                return
            file = parse_yaml(text, name=str(path))
        except ConfigError as error:
            self._file_problems = self._refused(str(path), error)
        except OSError as error:
            self._file_problems = self._refused(f"{path}: cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self._file_problems = self._refused(f"{path}: is no UTF-8 text (byte {error.start})")
        else:
            self._file_problems = await self._take(file=file)
            if self._may_be_taken_later:
                self._file.forget()
            if self._generation_problems and not self._file_problems:
                # It may fit this file: the next look at the bus offers it again.
                self._offered = 0

    async def offer(self, generation: Generation) -> None:
        """Take `generation` unless it was offered before; refuse it if it is wrong.

        A bus that has none, as it was made anew, leaves what runs as it is.
        """
        if generation.number in (0, self._offered, self.generation):
            return
        self._offered = generation.number
        self._generation_problems = await self._take(generation=generation)
        if self._may_be_taken_later:
            self._offered = 0
        if not self._generation_problems:
            self._remember()

    def report(self) -> Report:
        """Return what this process runs."""
        return Report(
            component=self._component,
            name=self.config.node.name or os.uname().nodename,
            generation=self.generation,
            offered=max(self._offered, self.generation),
            ok=not self.problems,
            problems=self.problems,
            time_ns=time.time_ns(),
            pinned=self._pinned(),
        )

    async def _take(
        self, *, file: YamlFile | None = None, generation: Generation | None = None
    ) -> list[str]:
        """Run with another file or generation; return the problems if that cannot be."""
        async with self._lock:
            self._may_be_taken_later = False
            old = self._sources
            new = _Sources(old.environ, generation or old.generation, file or old.file)
            name = file.name if file else f"generation {new.generation.number}"
            try:
                await self._switch(new.merged(), name)
            except AgentSightError as error:
                self._may_be_taken_later = isinstance(error, Retryable)
                return self._refused(name, error)
            self._sources = new
            self._changed.set()
            return []

    async def _switch(self, config: AgentSightConfig, name: str) -> None:
        changed = changed_keys(self.config, config)
        if blocked := restart_keys(changed):
            raise ConfigError("\n".join(f"restart needed: {key}" for key in blocked))
        if not changed:
            return
        await self._apply_or_undo(config)
        self.config = config
        _log.info("%s is running; changed: %s", name, ", ".join(changed))

    async def _apply_or_undo(self, config: AgentSightConfig) -> None:
        try:
            if self._apply:
                await self._apply(config)
        except AgentSightError:
            if self._apply:
                # A part may have changed before another one refused.
                await self._apply(self.config)
            raise
        if config.logging != self.config.logging:
            configure_logging(LogSettings(config.logging.level.upper(), config.logging.format))

    def _refused(self, what: str, error: AgentSightError | None = None) -> list[str]:
        problems = str(error).splitlines() if error else [what]
        _log.error("configuration refused, the last good one stays: %s", "; ".join(problems))
        self._changed.set()
        return problems

    def _pinned(self) -> list[str]:
        given = {key.variable: key for key in keys.all_keys()}
        environ = self._sources.environ
        return sorted(
            key.text
            for variable, key in given.items()
            if environ.get(variable) and _is_set(self._sources.generation.values, key.path)
        )

    # ---- over a restart ----

    def _remember(self) -> None:
        """Keep the generation for a start at which the bus is away: it may say what is private."""
        new = self._cache.with_suffix(".new")
        try:
            self._cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.touch(mode=0o600)
            new.write_bytes(msgspec.json.encode(self._sources.generation))
            new.replace(self._cache)
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._cache, error.strerror)

    def _recall(self) -> None:
        try:
            generation = msgspec.json.decode(self._cache.read_bytes(), type=Generation)
            sources = _Sources(self._sources.environ, generation, self._sources.file)
            config = sources.merged()
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, ConfigError, Permanent) as error:
            self._generation_problems = self._refused(f"{self._cache}: {error}")
            return
        if not restart_keys(changed_keys(self.config, config)):
            self._sources, self.config = sources, config


class ConfigCollector(Collector):
    """Which generation runs, and whether what was offered last was taken."""

    def __init__(self, live: LiveConfig) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Yield two gauges."""
        yield GaugeMetricFamily(
            "agentsight_config_reload_ok",
            "1 if the newest configuration runs, 0 if it was refused and the last good one stays.",
            value=float(not self._live.problems),
        )
        yield GaugeMetricFamily(
            "agentsight_config_generation",
            "Number of the cluster's configuration that runs; 0: none was ever set.",
            value=float(self._live.generation),
        )


def _is_set(values: Mapping[str, object], path: tuple[str, ...]) -> bool:
    value: object = values
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return True
