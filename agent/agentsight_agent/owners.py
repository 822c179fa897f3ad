"""Which connections a process has, so that its end finds them without a look at all others.

Must not know what a connection is.
"""

from __future__ import annotations


class Owners:
    """Keys of connections by the process that they belong to."""

    def __init__(self) -> None:
        self._keys: dict[int, set[int]] = {}

    def add(self, pid: int, key: int) -> None:
        """Note that `key` belongs to `pid` from now on."""
        self._keys.setdefault(pid, set()).add(key)

    def remove(self, pid: int, key: int) -> None:
        """Forget a key; raises KeyError if it is none of this process."""
        keys = self._keys[pid]
        keys.remove(key)
        if not keys:
            del self._keys[pid]

    def keys_of(self, pid: int) -> list[int]:
        """Return the keys of a process, the oldest connection first."""
        return sorted(self._keys.get(pid, ()))
