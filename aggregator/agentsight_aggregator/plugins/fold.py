"""The fold of a partition with analyzer plugins beside the built-in one.

Which plugins take part is said by the log (ADR 0008): the first finding of an event is always the
built-in fold's, so that a plugin more or less changes no place of those. Must not know the bus.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.ports import Analyzer

from agentsight_aggregator.fold import PartitionFold
from agentsight_aggregator.plugins.guarded_analyzer import (
    Failure,
    GuardedAnalyzer,
    Limits,
    PluginState,
)
from agentsight_aggregator.samples import Sample

# First byte of a snapshot that holds plugins; the built-in fold's own begins with a smaller one.
_WITH_PLUGINS = 0x50

Make = Callable[[str], Analyzer]


class _Saved(msgspec.Struct, array_like=True):
    fold: bytes
    plugins: dict[str, PluginState]


class PluggedFold:
    """`ports.Analyzer` over one partition: the built-in fold and the plugins called `names`.

    `make` makes the analyzer of a name; what it raises counts as a failure of that plugin.
    """

    def __init__(
        self, fold: PartitionFold, names: Collection[str], make: Make, limits: Limits
    ) -> None:
        self._fold = fold
        self._make = make
        self._limits = limits
        self._plugins: dict[str, GuardedAnalyzer] = {}
        self._failures: list[Failure] = []
        self._enable(names)

    @property
    def plugins(self) -> Mapping[str, bool]:
        """The plugins that take part, and whether each is still on."""
        return {plugin.name: plugin.is_on for plugin in self._plugins.values()}

    def observe(self, event: pb.Event) -> Iterable[Finding]:
        """Take the next event of the log."""
        found = list(self._fold.observe(event))
        if event.tick.HasField("settings"):
            self._enable(event.tick.settings.analyzers)
        return found + self._by_all(event, self._plugins.values())

    def observe_by(self, name: str, event: pb.Event) -> Iterable[Finding]:
        """Let one plugin alone see an event again that it failed on."""
        plugin = self._plugins.get(name)
        return self._by_all(event, [plugin] if plugin else [])

    def advance(self, now_ns: int) -> Iterable[Finding]:
        """Event time has reached `now_ns`."""
        found = list(self._fold.advance(now_ns))
        for plugin in self._plugins.values():
            found += plugin.advance(now_ns)
            self._failures += plugin.take_failures()
        return found

    def samples(self) -> Iterator[Sample]:
        """Return the business metrics of the partition."""
        return self._fold.samples()

    def take_failures(self) -> Sequence[Failure]:
        """Return what plugins did wrong since the last call."""
        failures, self._failures = self._failures, []
        return failures

    def snapshot(self) -> bytes:
        """Return the whole state; without plugins it is that of the built-in fold."""
        if not self._plugins:
            return self._fold.snapshot()
        states = {name: plugin.snapshot() for name, plugin in self._plugins.items()}
        saved = _Saved(self._fold.snapshot(), states)
        return bytes([_WITH_PLUGINS]) + msgspec.msgpack.encode(saved)

    def restore(self, state: bytes) -> None:
        """Take over a snapshot; the plugins that took part then take part now."""
        if state[:1] != bytes([_WITH_PLUGINS]):
            self._enable(())
            self._fold.restore(state)
            return
        saved = msgspec.msgpack.decode(state[1:], type=_Saved)
        self._fold.restore(saved.fold)
        self._enable(saved.plugins)
        for name, plugin_state in saved.plugins.items():
            self._plugins[name].restore(plugin_state)

    def _by_all(self, event: pb.Event, plugins: Iterable[GuardedAnalyzer]) -> list[Finding]:
        found: list[Finding] = []
        for plugin in plugins:
            found += (
                plugin.advance(event.wall_ns) if event.HasField("tick") else plugin.observe(event)
            )
            self._failures += plugin.take_failures()
        return found

    def _enable(self, names: Collection[str]) -> None:
        """Let the plugins called `names` take part; the state of one that leaves is gone."""
        self._plugins = {
            name: self._plugins.get(name) or self._guarded(name) for name in sorted(set(names))
        }

    def _guarded(self, name: str) -> GuardedAnalyzer:
        plugin = GuardedAnalyzer(name, lambda: self._make(name), self._limits)
        self._failures += plugin.take_failures()
        return plugin
