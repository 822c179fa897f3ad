"""A small deterministic fold, for tests of what runs folds."""

from __future__ import annotations

import json
from collections.abc import Iterable

from agentsight_core import ids
from agentsight_core.pb.events_pb2 import Event
from agentsight_core.pb.findings_pb2 import Edge, Finding

POISON_PATH = "/poison"


class CountingFold:
    """Says for every `every`-th event of a session which one it was; raises on POISON_PATH.

    Its findings depend on the whole history: a frame folded twice, or not, or out of order shows in
    all findings that follow.
    """

    def __init__(self, every: int = 1, copies: int = 1) -> None:
        self._every = every
        self._copies = copies
        self._seen: dict[str, int] = {}
        self._history: dict[str, str] = {}

    def observe(self, event: Event) -> Iterable[Finding]:
        """Count an event."""
        if event.HasField("tick"):
            return
        if event.file_opened.path.startswith(POISON_PATH):
            raise RuntimeError("poisoned on purpose")
        key = str(event.session)
        self._seen[key] = self._seen.get(key, 0) + 1
        about = (self._history.get(key, ""), event.file_opened.path)
        self._history[key] = ids.digest(*about, size=8).hex()
        if self._seen[key] % self._every:
            return
        for copy in range(self._copies):
            yield Finding(
                id=ids.digest(key, self._seen[key], copy, size=16),
                session=event.session,
                time_ns=event.wall_ns,
                edge=Edge(method=f"{self._seen[key]}:{self._history[key]}"),
            )

    def advance(self, now_ns: int) -> Iterable[Finding]:
        """Say nothing: counting knows no time."""
        del now_ns
        return ()

    def snapshot(self) -> bytes:
        """Return the counts."""
        return json.dumps([self._seen, self._history], sort_keys=True).encode()

    def restore(self, state: bytes) -> None:
        """Take over counts."""
        self._seen, self._history = json.loads(state)
