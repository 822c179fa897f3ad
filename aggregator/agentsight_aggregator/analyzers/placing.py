"""Where effects of a process are kept until it is known whose they are, and how many.

Must not know what an effect is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from agentsight_aggregator.analyzers.effect_state import ConnectionEffect, Effect, MarkEffect
from agentsight_aggregator.analyzers.state import ProcessState

# A talking process may do much between two answers; what is older is placed on it at once.
_MAX_UNPLACED = 1024


def note(process: ProcessState, effect: Effect, limit: int) -> None:
    """Keep an effect that has just happened."""
    if not (process.talks or process.serves):
        place(process, effect, limit)
        return
    process.unplaced.append(effect)
    if len(process.unplaced) > _MAX_UNPLACED:
        place(process, process.unplaced.pop(0), limit)


def newest(process: ProcessState) -> Iterator[Effect]:
    """Yield what is kept of `process`, the newest first."""
    return chain(reversed(process.unplaced), reversed(process.effects))


def place(process: ProcessState, effect: Effect, limit: int) -> None:
    """Put `effect` on the span of `process`; what is over `limit` is counted."""
    if len(process.effects) < limit:
        process.effects.append(effect)
        return
    match effect:
        case ConnectionEffect():
            kind = "connection"
        case MarkEffect():
            kind = effect.name
        case _:
            kind = "file"
    process.omitted[kind] = process.omitted.get(kind, 0) + 1
