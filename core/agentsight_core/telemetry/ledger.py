"""The loss ledger: every stage counts what came in, what went out and what it dropped and why.

For every stage, at any moment: received = emitted + held + filtered + dropped. A stage for which
this does not hold has lost something silently, which is a bug of the highest rank.

Filtered is what the user asked not to have (traffic of unwatched programs, capture mode "none");
dropped is what the user wanted and does not get. Only the second is loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stage:
    """The counts of one stage, in `unit` ("records", "bytes", "events", "frames", "findings")."""

    name: str
    unit: str
    received: int = 0
    emitted: int = 0
    # Taken and not yet given on: buffers, spools.
    held: int = 0
    # Ended here on purpose, by reason.
    filtered: dict[str, int] = field(default_factory=dict)
    # Lost, by reason.
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count `count` items that are lost here, and why."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def filter(self, reason: str, count: int = 1) -> None:
        """Count `count` items that end here on purpose, and why."""
        self.filtered[reason] = self.filtered.get(reason, 0) + count

    @property
    def unexplained(self) -> int:
        """Items that came in and are in none of the other counts; anything but 0 is a bug."""
        kept = self.emitted + self.held
        return self.received - kept - sum(self.filtered.values()) - sum(self.dropped.values())


class Ledger:
    """All stages of one process, in the order in which they were declared."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}

    def stage(self, name: str, unit: str) -> Stage:
        """Return the stage called `name`, declaring it if it is new."""
        stage = self._stages.setdefault(name, Stage(name, unit))
        if stage.unit != unit:
            raise ValueError(f"stage {name} counts {stage.unit}, not {unit}")
        return stage

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in the order of their declaration."""
        return tuple(self._stages.values())

    def as_dict(self) -> list[dict[str, object]]:
        """Return the ledger as plain values, for JSON."""
        return [
            {
                "stage": stage.name,
                "unit": stage.unit,
                "received": stage.received,
                "emitted": stage.emitted,
                "held": stage.held,
                "filtered": dict(sorted(stage.filtered.items())),
                "dropped": dict(sorted(stage.dropped.items())),
                "unexplained": stage.unexplained,
            }
            for stage in self._stages.values()
        ]


def lost_items(stages: list[Mapping[str, object]]) -> int:
    """Return how many items the stages (as in `Ledger.as_dict`) dropped or cannot explain."""
    total = 0
    for stage in stages:
        dropped = stage["dropped"]
        unexplained = stage["unexplained"]
        assert isinstance(dropped, Mapping)
        assert isinstance(unexplained, int)
        total += sum(dropped.values()) + abs(unexplained)
    return total
