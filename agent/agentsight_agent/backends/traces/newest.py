"""What a reader remembers of a trace, bounded: the oldest goes, and that is counted.

Must not know what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Newest(dict[Key, Value]):
    """At most `limit` entries that were `put`; `forgotten` is called for each that had to go."""

    def __init__(self, limit: int, forgotten: Callable[[], None]) -> None:
        super().__init__()
        self._limit = limit
        self._forgotten = forgotten

    def put(self, key: Key, value: Value) -> None:
        """Remember `value` as the newest entry, in the place of an older one of the same key."""
        self.pop(key, None)
        self[key] = value
        if len(self) > self._limit:
            del self[next(iter(self))]
            self._forgotten()
