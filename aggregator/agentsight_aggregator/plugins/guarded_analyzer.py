"""One analyzer plugin in one partition, within its limits.

An analyzer that raises or takes too long gives nothing for that event; after some failures it is
switched off until it is taken out of the configuration and put in again. Both are part of its
state. Must not know which plugin it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.ports import Analyzer

from agentsight_aggregator.plugins.time_budget import OutOfTime, call_within

T = TypeVar("T")


@dataclass(slots=True)
class Limits:
    """What a plugin may do wrong; who runs plugins may change it while they run."""

    # For one event.
    seconds: float = 0.5
    # Failures after which it is switched off.
    failures: int = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """What a plugin did wrong with one event."""

    plugin: str
    error: str


class PluginState(msgspec.Struct, array_like=True):
    """What a checkpoint holds of one plugin."""

    failures: int
    is_on: bool
    state: bytes


class GuardedAnalyzer:
    """Runs the analyzer that `make` makes; nothing that it does is raised here."""

    def __init__(self, name: str, make: Callable[[], Analyzer], limits: Limits) -> None:
        self.name = name
        self.is_on = True
        self.failures = 0
        # Not yet taken by `take_failures`.
        self._new: list[Failure] = []
        self._limits = limits
        self._analyzer = self._call(make)
        self.is_on = self._analyzer is not None

    def observe(self, event: pb.Event) -> list[Finding]:
        """Let it see a copy of `event`."""
        copy = pb.Event()
        copy.CopyFrom(event)
        return self._findings(lambda analyzer: analyzer.observe(copy))

    def advance(self, now_ns: int) -> list[Finding]:
        """Let it know the time."""
        return self._findings(lambda analyzer: analyzer.advance(now_ns))

    def take_failures(self) -> list[Failure]:
        """Return the failures since the last call."""
        new, self._new = self._new, []
        return new

    def snapshot(self) -> PluginState:
        """Return its state; one that cannot give it begins anew after a restart."""
        analyzer = self._analyzer
        state = self._call(analyzer.snapshot) if analyzer is not None and self.is_on else b""
        return PluginState(self.failures, self.is_on, state or b"")

    def restore(self, saved: PluginState) -> None:
        """Take over what `snapshot` returned."""
        self.failures, self.is_on = saved.failures, saved.is_on and self._analyzer is not None
        analyzer = self._analyzer
        if analyzer is not None and self.is_on and saved.state:
            self._call(lambda: analyzer.restore(saved.state))

    def _findings(self, work: Callable[[Analyzer], Iterable[Finding]]) -> list[Finding]:
        analyzer = self._analyzer
        if analyzer is None or not self.is_on:
            return []
        # A generator works while it is read.
        return self._call(lambda: _checked(list(work(analyzer)))) or []

    def _call(self, work: Callable[[], T]) -> T | None:
        try:
            return call_within(self._limits.seconds, work)
        except OutOfTime:
            self._fail(f"took longer than {self._limits.seconds} s")
        except (Exception, SystemExit) as error:  # noqa: BLE001  # code of others: it costs one event, not the partition
            self._fail(f"{type(error).__name__}: {error}")
        return None

    def _fail(self, error: str) -> None:
        self.failures += 1
        self._new.append(Failure(self.name, error))
        if self.failures >= self._limits.failures:
            self.is_on = False


def _checked(findings: list[Finding]) -> list[Finding]:
    for finding in findings:
        if not isinstance(finding, Finding) or len(finding.id) != 16:
            raise TypeError(f"{type(finding).__name__} is no Finding with an id of 16 bytes")
    return findings
