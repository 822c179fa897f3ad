"""Runs a program under `agentsight record`, as a user does, and reads what came of it.

Must not import the command: it is run as a program of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.frames import read_recording
from agentsight_core.recordings.records import Damage
from agentsight_core.testing.llm_tls_server import Pair

_SECONDS = 280.0
# `record` without what it does afterwards, the analysis of the recording.
_WATCH_ONLY = """
import json, os, sys
from pathlib import Path
from agentsight_cli import record
from agentsight_core.config import load_config
done = record.run(sys.argv[2:], load_config(None, os.environ), Path(sys.argv[1]))
print(json.dumps({"sessions": [], "ledger": done.ledger}))
sys.exit(done.exit_status)
"""

Stages = dict[str, dict[str, object]]


@dataclass(slots=True)
class Exchange:
    """One request with its answer, put together from the events of a recording."""

    request: pb.HttpRequestStarted
    response: pb.HttpResponseStarted | None = None
    finished: pb.HttpFinished | None = None
    request_body: bytes = b""
    response_body: bytes = b""
    # How many pieces with a time of their own the answer came in.
    response_pieces: int = 0

    @property
    def pair(self) -> Pair:
        """The bodies, to be compared with what the server said."""
        complete = self.finished is not None and self.finished.outcome == pb.HTTP_OUTCOME_COMPLETE
        return Pair(self.request.target, self.request_body, self.response_body, complete=complete)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What a run under `record` gave."""

    exit_status: int
    stdout: str
    stderr: str
    # The JSON object that `--json` prints.
    summary: dict[str, object]
    headers: list[pb.FrameHeader] = field(default_factory=list)
    events: list[pb.Event] = field(default_factory=list)

    @property
    def ledger(self) -> Stages:
        """The stages of the loss ledger by name."""
        stages = self.summary["ledger"]
        assert isinstance(stages, list)
        return {stage["stage"]: stage for stage in stages}

    def losses(self) -> dict[str, object]:
        """Return what the ledger says is lost or unexplained, by stage; {} when it is clean."""
        return {
            name: stage
            for name, stage in self.ledger.items()
            if stage["dropped"] or stage["unexplained"] or stage["held"]
        }

    def exchanges(self) -> list[Exchange]:
        """Return all HTTP exchanges in the order of their requests."""
        return exchanges(self.events)


def exchanges(events: Sequence[pb.Event]) -> list[Exchange]:
    """Put the HTTP events of one or more sessions together."""
    found: dict[tuple[int, int], Exchange] = {}
    for event in events:
        match event.WhichOneof("body"):
            case "http_request_started":
                head = event.http_request_started
                found[head.connection, head.exchange] = Exchange(head)
            case "http_response_started":
                answer = event.http_response_started
                found[answer.connection, answer.exchange].response = answer
            case "http_body":
                _add_body(found[event.http_body.connection, event.http_body.exchange], event)
            case "http_finished":
                end = event.http_finished
                found[end.connection, end.exchange].finished = end
    return list(found.values())


def _add_body(exchange: Exchange, event: pb.Event) -> None:
    if event.http_body.direction == pb.DIRECTION_REQUEST:
        exchange.request_body += event.http_body.data
    else:
        exchange.response_body += event.http_body.data
        exchange.response_pieces += len(event.http_body.piece_offsets)


def record(
    command: Sequence[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    analyze: bool = True,
    options: Sequence[str] = (),
    before: Sequence[str] = (),
) -> RecordedRun:
    """Run `command` under `agentsight record --json`; state and recording go into `folder`.

    `settings` are configuration variables without their prefix, as CAPTURE_MODE. Without `analyze`
    the summary holds the ledger only. `options` are more of `record`; `before` is a command that is
    to run it, as setpriv.
    """
    output = folder / "run.rec"
    values = {"NODE_STATE_DIR": str(folder / "state"), **(settings or {})}
    variables = {f"AGENTSIGHT_{key}": value for key, value in values.items()}
    program = [sys.executable, "-c", _WATCH_ONLY, str(output)]
    if analyze:
        words = ["record", "--json", *options, "-o", str(output), "--"]
        program = [sys.executable, "-m", "agentsight_cli", *words]
    done = subprocess.run(  # noqa: S603 - a test's own program
        [*before, *program, *command],
        env={**os.environ, **(env or {}), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    # What the command wrote last need not end with a line end.
    said, start, rest = done.stdout.rpartition('{"sessions": ')
    assert start, f"no summary; status {done.returncode}\n{done.stderr}"
    summary = json.loads(start + rest)
    headers, events = read_all(output)
    return RecordedRun(done.returncode, said, done.stderr, summary, headers, events)


def read_all(path: Path) -> tuple[list[pb.FrameHeader], list[pb.Event]]:
    """Return the headers and the events of a recording, which must not be damaged."""
    headers: list[pb.FrameHeader] = []
    events: list[pb.Event] = []
    damage = Damage()
    with path.open("rb") as stream:
        for header, some in read_recording(stream, damage):
            headers.append(header)
            events += some
    assert not damage.stretches, damage
    return headers, events
