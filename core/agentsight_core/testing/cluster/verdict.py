"""The oracle: what the generators' ledgers say against what the cluster has stored.

    C1 lost      durable units that are neither in EVENTS nor declared lost
    C2 twice     units, findings or spans that are there more than once
    C3 order     units of a session, answers of a partition
    C4 spans     each stored unit has the spans of its call and its process, once
    C5 counters  the aggregators' own count of calls is the number of units
    C7 replay    findings and state equal those of a replay without faults, byte for byte

Takeover times (C6) are in `recovery`. Must not import the aggregator: the replay is given to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agentsight_core import wire
from agentsight_core.errors import MalformedFrame
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.pb.findings_pb2 import Finding
from agentsight_core.sealing import Opener
from agentsight_core.testing.cluster.evidence import Evidence, Stored
from agentsight_core.testing.cluster.ledger import LedgerOfUnits
from agentsight_core.testing.cluster.states import first_difference
from agentsight_core.testing.cluster.units import digest_of, unit_of

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay of one partition's messages gives."""

    # (input, serialized finding) in order.
    findings: Sequence[tuple[str, bytes]]
    # Calls that the fold has counted.
    calls: int
    # The state, as it is saved.
    state: bytes


@dataclass(frozen=True, slots=True)
class Saved:
    """The last checkpoint of a partition."""

    position: int
    state: bytes


# Replays messages of EVENTS of one partition: (partition, messages).
Replay = Callable[[int, Sequence[Stored]], Replayed]


@dataclass(slots=True)
class Verdict:
    """The checks; every list is empty when all is well."""

    units: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    spans: list[str] = field(default_factory=list)
    counters: list[str] = field(default_factory=list)
    replay: list[str] = field(default_factory=list)
    # Units that the log says are lost, by reason.
    declared: Counter[str] = field(default_factory=Counter)
    # Units that were taken, but not yet in the spool when their generator was killed.
    undurable: int = 0
    # Frames that were stored more than once; the worker filters them.
    repeated_frames: int = 0

    @property
    def faults(self) -> dict[str, list[str]]:
        """The checks that failed, with a few examples of each."""
        checks = {
            "lost": self.lost,
            "twice": self.twice,
            "disorder": self.disorder,
            "spans": self.spans,
            "counters": self.counters,
            "replay": self.replay,
        }
        return {
            name: [f"{len(found)} in all", *found[:_SHOWN]]
            for name, found in checks.items()
            if found
        }


def judge(
    evidence: Evidence,
    ledgers: Iterable[LedgerOfUnits],
    checkpoints: Mapping[int, Saved],
    replay: Replay,
    opener: Opener | None = None,
) -> Verdict:
    """Compare everything with everything; `opener` is for frames that are sealed."""
    verdict = Verdict()
    seen = _Seen(verdict, opener)
    for message in evidence.events:
        if message.subject.startswith("events."):
            seen.frame(message)
    for ledger in ledgers:
        _check_units(verdict, ledger, seen)
    _check_findings(verdict, evidence, seen)
    _check_replay(verdict, evidence, checkpoints, replay, seen)
    return verdict


class _Seen:
    """The units in EVENTS, as somebody sees them who knows the numbering of frames."""

    def __init__(self, verdict: Verdict, opener: Opener | None) -> None:
        self._verdict = verdict
        self._opener = opener
        self._marks: dict[tuple[str, int, int], int] = {}
        # Session to unit to digest.
        self.units: dict[int, dict[int, str]] = {}
        # Session to frames that a tombstone or a gap in the numbering stands for.
        self.buried: Counter[int] = Counter()
        # Sessions that were told that their agent was killed.
        self.told: set[int] = set()
        self.poison = 0

    def frame(self, message: Stored) -> None:
        try:
            header, events = wire.decode_frame(message.data, self._opener)
        except MalformedFrame:
            self.poison += 1
            return
        key = (header.agent_id, header.epoch_ns, header.session)
        if header.seq <= self._marks.get(key, 0):
            self._verdict.repeated_frames += 1
            return
        gap = header.seq - self._marks.get(key, 0) - 1
        if gap:
            self._verdict.declared["gap"] += gap
            self.buried[header.session] += gap
        self._marks[key] = header.seq
        if events[0].HasField("lost"):
            self._verdict.declared[events[0].lost.reason] += 1
            if events[0].lost.stage == "spool":
                self.buried[header.session] += 1
            else:
                self.told.add(header.session)
        elif unit := unit_of(events):
            self._unit(header.session, unit, events)

    def _unit(self, session: int, unit: int, events: Sequence[pb.Event]) -> None:
        mine = self.units.setdefault(session, {})
        about = f"session {session:016x} unit {unit}"
        if unit in mine:
            self._verdict.twice.append(about)
            return
        if mine and unit < next(reversed(mine)):
            self._verdict.disorder.append(f"{about} after {next(reversed(mine))}")
        mine[unit] = digest_of(events)
        self._verdict.units += 1


def _check_units(verdict: Verdict, ledger: LedgerOfUnits, seen: _Seen) -> None:
    for session, taken in ledger.taken.items():
        stored = seen.units.get(session, {})
        durable = ledger.durable.get(session, set())
        missing = sorted(durable - stored.keys())
        # Tombstones count frames, and a unit is a frame; which of them is not to be seen in it.
        for unit in missing[seen.buried[session] :]:
            verdict.lost.append(f"session {session:016x} unit {unit}")
        undurable = taken.keys() - durable - stored.keys()
        verdict.undurable += len(undurable)
        if undurable and session not in seen.told:
            verdict.lost.append(f"session {session:016x}: nobody says that units may be missing")
        for unit, digest in stored.items():
            if taken.get(unit) != digest:
                verdict.lost.append(f"session {session:016x} unit {unit} is not what was taken")


def _check_findings(verdict: Verdict, evidence: Evidence, seen: _Seen) -> None:
    gaps = 0
    ids: Counter[bytes] = Counter()
    spans: Counter[tuple[bytes, str]] = Counter()
    kinds: dict[int, Counter[str]] = {}
    places: dict[int, tuple[int, int]] = {}
    for stored, finding in evidence.parsed_findings():
        ids[finding.id] += 1
        place = (int(stored.input.split(".")[0]), int(stored.input.split(".")[1]))
        if place <= places.get(stored.partition, (0, 0)):
            verdict.disorder.append(f"partition {stored.partition} answers {place} again")
        places[stored.partition] = place
        if finding.loss.reason == "gap":
            gaps += finding.loss.count
        if finding.HasField("span"):
            spans[finding.span.span_id, finding.span.name] += 1
            kinds.setdefault(finding.session, Counter())[_kind_of_span(finding)] += 1
    if gaps != verdict.declared["gap"]:
        verdict.lost.append(f"{verdict.declared['gap']} frames are missing, {gaps} are declared")
    verdict.twice += [f"finding {key.hex()}" for key, count in ids.items() if count > 1]
    verdict.twice += [
        f"span {key.hex()} {name!r}" for (key, name), count in spans.items() if count > 1
    ]
    for session, units in seen.units.items():
        found = kinds.get(session, Counter())
        for kind in ("call", "process"):
            if found[kind] != len(units):
                verdict.spans.append(
                    f"session {session:016x}: {found[kind]} {kind} spans, {len(units)} units"
                )


def _kind_of_span(finding: Finding) -> str:
    keys = {attribute.key for attribute in finding.span.attributes}
    if "gen_ai.response.id" in keys:
        return "call"
    pids = [a.int_value for a in finding.span.attributes if a.key == "process.pid"]
    return "process" if pids and pids[0] >= 1000 else "other"


def _check_replay(
    verdict: Verdict,
    evidence: Evidence,
    checkpoints: Mapping[int, Saved],
    replay: Replay,
    seen: _Seen,
) -> None:
    calls = 0
    for partition, saved in checkpoints.items():
        messages = [
            message
            for message in evidence.events
            if message.partition == partition and message.sequence <= saved.position
        ]
        again = replay(partition, messages)
        calls += again.calls
        stored = [(m.input, m.data) for m in evidence.findings if m.partition == partition]
        about = f"partition {partition}"
        if stored != list(again.findings):
            verdict.replay.append(f"{about}: {_difference(stored, again.findings)}")
        if saved.state != again.state:
            where = first_difference(saved.state, again.state)
            verdict.replay.append(f"{about}: the state is not that of the replay: {where}")
    if calls != verdict.units:
        verdict.counters.append(f"{calls} calls are counted, {verdict.units} units are stored")
    if seen.poison and not evidence.letters:
        verdict.lost.append(f"{seen.poison} frames that cannot be read have no dead letter")


def _difference(stored: Sequence[tuple[str, bytes]], again: Sequence[tuple[str, bytes]]) -> str:
    for number, (one, other) in enumerate(zip(stored, again, strict=False)):
        if one != other:
            return f"finding {number} answers {one[0]}, that of the replay {other[0]}"
    return f"{len(stored)} findings, {len(again)} in the replay"
