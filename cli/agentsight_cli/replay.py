"""`agentsight replay`: recordings through the same parsers, analyzers and findings, without root.

Must not do anything that `up` does differently: events in, findings out, one fold for all files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from agentsight_aggregator.exporters.jsonl import span_to_json
from agentsight_aggregator.fold import PartitionFold, build_fold
from agentsight_core.errors import AgentSightError
from agentsight_core.pb import events_pb2
from agentsight_core.pb import findings_pb2 as pb
from agentsight_core.ports import END_OF_TIME_NS
from agentsight_core.recordings.records import Damage
from agentsight_core.telemetry.ledger import Ledger

from agentsight_cli import output, summary, tree
from agentsight_cli.recordings import BY_ITSELF, ReadAs, read_events

FORMATS = ("spans", "tree", "summary")


class Replay:
    """Folds files one after the other, and keeps account of them."""

    def __init__(self, fold: PartitionFold, read_as: ReadAs = BY_ITSELF) -> None:
        self._fold = fold
        self._read_as = read_as
        self.ledger = Ledger()
        self._events = self.ledger.stage("recording", "events")
        # One sentence for each file that could not be read to its end.
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def findings(self, names: Iterable[str]) -> Iterator[pb.Finding]:
        """Yield the findings of all files; what is wrong with one does not stop the others."""
        for name in names:
            yield from self._file(name)
        yield from self._fold.advance(END_OF_TIME_NS)

    @property
    def events_read(self) -> int:
        """How many events all files held."""
        return self._events.received

    def _file(self, name: str) -> Iterator[pb.Finding]:
        damage = Damage()
        try:
            for event in read_events(name, damage, self._read_as):
                self._events.received += 1
                self._events.emitted += 1
                if event.HasField("lost"):
                    self.warnings.append(_placed(name, _loss(event.lost)))
                yield from self._fold.observe(event)
        except AgentSightError as error:
            self.errors.append(_placed(name, str(error)))
        if damage.stretches:
            stage = self.ledger.stage("recording.file", "stretches")
            stage.received += damage.stretches
            stage.drop("damaged", damage.stretches)
            self.warnings.append(
                f"{name}: skipped {damage.stretches} damaged stretches "
                f"({damage.skipped_bytes} bytes)"
            )


def run(
    names: list[str], form: str, stream: TextIO | None = None, read_as: ReadAs = BY_ITSELF
) -> int:
    """Write what `names` hold in the format `form` to `stream` (stdout); return the exit status.

    2 when a file could not be read or is malformed; the others are shown nevertheless.
    """
    out = stream or sys.stdout
    replay = Replay(build_fold(), read_as)
    findings = replay.findings(names)
    if form == "spans":
        write_spans(findings, out)
    else:
        kept = list(findings)
        stages = replay.ledger.as_dict()
        if form == "tree":
            output.print_tree(tree.build_tree(kept), out)
            output.print_ledger(stages, out)
        else:
            found = summary.summarize(kept, events_captured=replay.events_read, stages=stages)
            output.print_json(found, out)
    for line in (*replay.warnings, *replay.errors):
        print(line, file=sys.stderr)
    return 2 if replay.errors else 0


def write_spans(findings: Iterable[pb.Finding], out: TextIO) -> None:
    """Write each span as one JSON object on a line of its own."""
    for finding in findings:
        if finding.WhichOneof("body") == "span":
            output.print_json(span_to_json(finding.span), out)


def _loss(lost: events_pb2.Lost) -> str:
    place = f"{lost.place}: " if lost.place else ""
    return f"{place}{lost.count} {lost.unit} lost at {lost.stage}: {lost.reason}"


def _placed(name: str, message: str) -> str:
    place = "stdin" if name == "-" else name
    return message if message.startswith(place) else f"{place}: {message}"
