"""Closes the whole ledger: what one stage gives on must arrive at the next, across processes too.

Must not know which stages exist; the caller declares the links of what it started.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Link:
    """What all `sources` emitted together is what all `targets` received together.

    One name each is a plain hand-over; several sources are a merge, several targets a split (each
    item to one of them). A fan-out (each item to all) is one link per target. The stages of a link
    count in the same unit. A stage that several processes have is summed.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' + '.join(self.sources)} → {' + '.join(self.targets)}"


@dataclass(frozen=True, slots=True)
class Loss:
    """Items that a stage dropped, and why it says it did."""

    stage: str
    reason: str
    unit: str
    count: int


@dataclass(frozen=True, slots=True)
class Unexplained:
    """Items that came into a stage of one process and are in no other count; always a bug."""

    stage: str
    unit: str
    count: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A link whose ends do not agree, or that names a stage nobody has (then `problem` says so)."""

    link: Link
    emitted: int
    received: int
    problem: str


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """What the ledger says of a run that has come to rest (nothing in flight)."""

    lost: tuple[Loss, ...] = ()
    unexplained: tuple[Unexplained, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()

    @property
    def closed(self) -> bool:
        """Every item is accounted for: delivered, held, or dropped with a reason."""
        return not self.unexplained and not self.mismatches

    @property
    def clean(self) -> bool:
        """Every item is accounted for and none was dropped."""
        return self.closed and not self.lost

    @property
    def lost_count(self) -> int:
        """Items dropped, unexplained or gone between two stages, whatever their units."""
        return (
            sum(loss.count for loss in self.lost)
            + sum(abs(item.count) for item in self.unexplained)
            + sum(abs(item.emitted - item.received) for item in self.mismatches)
        )

    def explain(self) -> list[str]:
        """Return one sentence for each thing that is not as it should be."""
        lines = [
            f"{loss.stage} dropped {loss.count} {loss.unit}: {loss.reason}" for loss in self.lost
        ]
        lines += [
            f"{item.stage} cannot explain {item.count} {item.unit}" for item in self.unexplained
        ]
        return lines + [f"{item.link}: {item.problem}" for item in self.mismatches]


@dataclass(slots=True)
class _Total:
    """One stage over all processes."""

    units: set[str] = field(default_factory=set)
    received: int = 0
    emitted: int = 0


def close_ledger(
    stages_of_processes: Iterable[Sequence[Mapping[str, object]]], links: Iterable[Link]
) -> LedgerVerdict:
    """Return what was lost, what is unexplained, and which hand-overs do not agree.

    `stages_of_processes` has one `Ledger.as_dict()` for each process, also of processes that have
    ended. Valid when nothing is in flight between processes; what a stage still holds is fine.
    """
    totals: dict[str, _Total] = {}
    losses: Counter[tuple[str, str, str]] = Counter()
    unexplained: list[Unexplained] = []
    for stage in (stage for stages in stages_of_processes for stage in stages):
        name, unit = str(stage["stage"]), str(stage["unit"])
        total = totals.setdefault(name, _Total())
        total.units.add(unit)
        total.received += _count(stage, "received")
        total.emitted += _count(stage, "emitted")
        if gap := _count(stage, "unexplained"):
            unexplained.append(Unexplained(name, unit, gap))
        dropped = stage["dropped"]
        assert isinstance(dropped, Mapping)
        for reason, count in dropped.items():
            losses[name, reason, unit] += count
    return LedgerVerdict(
        lost=tuple(
            Loss(stage=name, reason=reason, unit=unit, count=count)
            for (name, reason, unit), count in losses.items()
            if count
        ),
        unexplained=tuple(unexplained),
        mismatches=tuple(
            mismatch for link in links if (mismatch := _check(link, totals)) is not None
        ),
    )


def _check(link: Link, totals: Mapping[str, _Total]) -> Mismatch | None:
    names = (*link.sources, *link.targets)
    unknown = [name for name in names if name not in totals]
    emitted = sum(totals[name].emitted for name in link.sources if name in totals)
    received = sum(totals[name].received for name in link.targets if name in totals)
    units = sorted({unit for name in names if name in totals for unit in totals[name].units})
    if unknown:
        problem = f"no process has the stage {', '.join(unknown)}"
    elif len(units) > 1:
        problem = f"counts {' and '.join(units)}: a link needs one unit"
    elif emitted != received:
        problem = f"{emitted} {units[0]} emitted, {received} received"
    else:
        return None
    return Mismatch(link, emitted, received, problem)


def _count(stage: Mapping[str, object], key: str) -> int:
    value = stage[key]
    assert isinstance(value, int), f"{key} of a stage is {value!r}"
    return value
