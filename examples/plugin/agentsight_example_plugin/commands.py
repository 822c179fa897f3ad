"""An analyzer: an edge for every command that an agent runs for the second time and more.

Option `least` (default 2): how often a command line must have run to be told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from agentsight_core import ids
from agentsight_core.pb.events_pb2 import Event
from agentsight_core.pb.findings_pb2 import Edge, Finding
from agentsight_core.plugins import AnalyzerPlugin, Options


class RepeatedCommands:
    """`ports.Analyzer`: its state is how often each session has run each command line."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._runs: dict[str, int] = {}

    def observe(self, event: Event) -> Iterable[Finding]:
        """Count executions; tell those that repeat one."""
        if not event.HasField("process_executed"):
            return
        command = f"{event.session:016x} {' '.join(event.process_executed.argv)}"
        count = self._runs[command] = self._runs.get(command, 0) + 1
        if count >= self._least:
            yield Finding(
                # The plugin's name makes the id its own; the count makes it that of this run.
                id=ids.digest("example.commands", command, count, size=16),
                session=event.session,
                time_ns=event.wall_ns,
                edge=Edge(method=f"repeated command, {count} times", confidence=1.0),
            )

    def advance(self, now_ns: int) -> Iterable[Finding]:
        """Say nothing: a repetition has no time limit."""
        del now_ns
        return ()

    def snapshot(self) -> bytes:
        """Return the counts."""
        return json.dumps(self._runs, sort_keys=True).encode()

    def restore(self, state: bytes) -> None:
        """Take over counts."""
        self._runs = json.loads(state)


def make(options: Options) -> RepeatedCommands:
    """Return a fold for one partition."""
    return RepeatedCommands(int(options.get("least", "2")))


PLUGIN = AnalyzerPlugin(api=1, make=make)
