"""Where effects of a process are kept until it is known whose they are, and how many.

Must not know what an effect is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from agentsight_aggregator.analyzers.background import is_background_path
from agentsight_aggregator.analyzers.effect_state import (
    ChangeEffect,
    ConnectionEffect,
    Effect,
    FileEffect,
    MarkEffect,
)
from agentsight_aggregator.analyzers.state import ProcessState

_O_ACCMODE = 0o3
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
    """Put `effect` on the span of `process`; what is over `limit` is counted.

    What an interpreter reads when it starts gives way to what tells more.
    """
    if len(process.effects) < limit:
        process.effects.append(effect)
        return
    if not process.is_crowded and not _is_background(effect):
        effect = _exchange(process, effect)
    match effect:
        case ConnectionEffect():
            kind = "connection"
        case MarkEffect():
            kind = effect.name
        case _:
            kind = "file"
    process.omitted[kind] = process.omitted.get(kind, 0) + 1


def _exchange(process: ProcessState, effect: Effect) -> Effect:
    """Put `effect` in the place of one of the background; return the one that is left out."""
    for position, kept in enumerate(process.effects):
        if _is_background(kept):
            del process.effects[position]
            process.effects.append(effect)
            return kept
    process.is_crowded = True
    return effect


def _is_background(effect: Effect) -> bool:
    match effect:
        case FileEffect():
            changes = effect.written_bytes or effect.mapped_for_writing or effect.flags & _O_ACCMODE
            return not changes and is_background_path(effect.path)
        case ChangeEffect():
            return effect.operation == "directory_entered" and is_background_path(effect.path)
    return False
