"""C6: how long nothing came after a fault, read from the times at which the streams took messages.

Must not know what the fault was.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from agentsight_core.testing.cluster.evidence import Stored


def takeovers(findings: Sequence[Stored], fault_s: float, until_s: float) -> dict[int, float]:
    """Return, for each partition that changed hands after the fault, the seconds that it took.

    Counted from the fault (Unix seconds) to the first finding of the new owner.
    """
    found: dict[int, float] = {}
    for partition in {message.partition for message in findings}:
        mine = [message for message in findings if message.partition == partition]
        before = [message.writer for message in mine if message.time_s < fault_s]
        if not before:
            continue
        after = (m for m in mine if fault_s <= m.time_s <= until_s and m.writer != before[-1])
        first = next(after, None)
        if first is not None:
            found[partition] = first.time_s - fault_s
    return found


def longest_gap(times_s: Iterable[float], fault_s: float, until_s: float) -> float:
    """Return the longest time between two neighbours of which the later one is after the fault."""
    times = sorted(time for time in times_s if time <= until_s)
    pairs = itertools.pairwise(times)
    return max((later - earlier for earlier, later in pairs if later >= fault_s), default=0.0)
