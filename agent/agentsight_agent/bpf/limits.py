"""Limits of the kernel side: how much of each class of a session is recorded, and what is left out.

Must not decide when that is told.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from agentsight_agent.bpf.counters import CLASSES
from agentsight_agent.bpf.objects import BpfObject

# struct class_limit, struct rate_key and struct rate of bpf/lib/limits.bpf.h
_LIMIT = struct.Struct("<II")
_KEY = struct.Struct("<QII")
_RATE = struct.Struct("<6Q")


@dataclass(frozen=True, slots=True)
class ClassLimit:
    """Of what begins in a session: at most `per_second` (0 = no bound), one in `one_in`."""

    per_second: int = 0
    one_in: int = 1

    @property
    def is_one(self) -> bool:
        """False if everything is recorded."""
        return self.per_second > 0 or self.one_in > 1


@dataclass(frozen=True, slots=True)
class Rate:
    """What has begun in a session, of one class; totals since there are limits."""

    taken: int = 0
    over_rate: int = 0
    not_sampled: int = 0
    # Since when something is left out, with short pauses, and when it was so last.
    since_boot_ns: int = 0
    last_boot_ns: int = 0

    @property
    def left_out(self) -> int:
        """How many were not recorded."""
        return self.over_rate + self.not_sampled


def write_limits(loaded: BpfObject, limits: Mapping[str, ClassLimit]) -> None:
    """Set the limits of all classes; those that are not named have none."""
    for index, name in enumerate(CLASSES):
        limit = limits.get(name, ClassLimit())
        value = _LIMIT.pack(limit.per_second, limit.one_in)
        loaded.map("class_limits").update(index.to_bytes(4, "little"), value)


def read_rate(loaded: BpfObject, session: int, name: str) -> Rate:
    """Return what was decided for a class of a session; zeros if nothing was."""
    value = loaded.map("rates").lookup(_key(session, name), _RATE.size)
    return Rate(*_RATE.unpack(value)[1:]) if value else Rate()


def forget_rates(loaded: BpfObject, session: int) -> None:
    """Remove what is known of a session that has ended."""
    for name in CLASSES:
        loaded.map("rates").delete(_key(session, name))


def _key(session: int, name: str) -> bytes:
    return _KEY.pack(session, CLASSES.index(name), 0)
