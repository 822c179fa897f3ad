"""A whole session against its recorded findings. `make golden` rewrites them; read the diff."""

import json
import os
from pathlib import Path

from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import (
    AGENT_PID,
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
)
from google.protobuf.json_format import MessageToDict

EXPECTED = Path(__file__).with_name("session.findings.jsonl")
# A checkpoint of the first version, from the middle of the session. Never rewritten: a partition
# must be taken over by a newer program in the middle of its work.
STATE = Path(__file__).with_name("state-v1.bin")
STATE_AFTER_EVENTS = 20
TASK = user("Fix the failing test, please.")


def session_log() -> AgentLog:
    """Two tool calls at the same time, an edit inside the agent, a retry, a failed process."""
    log = AgentLog()
    log.start(0)
    log.connection(0.9, 21, AGENT_PID, 443)
    asked = [
        text("I run the tests and look at the log."),
        tool_use("t1", "bash", command="pytest -q tests | tail -3"),
        tool_use("t2", "bash", command="git log --oneline"),
    ]
    log.call(1, 3, [TASK], asked)
    log.run(3.1, 6, 201, ["sh", "-c", "pytest -q tests | tail -3"])
    log.run(3.2, 5.9, 202, ["pytest", "-q", "tests"], parent=201, exit_code=1)
    log.file(4, 4.1, 202, "tests/test_sum.py")
    log.run(3.2, 5.95, 203, ["tail", "-3"], parent=201)
    log.run(3.1, 3.4, 204, ["git", "log", "--oneline"])
    log.connection(3.2, 3.3, 204, 22)
    back = results(tool_result("t1", "1 failed", is_error=True), tool_result("t2", "ab12 first"))
    history = [TASK, assistant(*asked), back]
    log.call(6.5, 7, history, error=(529, "overloaded_error"))
    edit = [tool_use("t3", "edit", path="sum.py", new_text="return a + b")]
    log.call(8, 9, history, edit)
    log.file(9.2, 9.3, AGENT_PID, "/srv/agent/sum.py", written=12)
    history = [*history, assistant(*edit), results(tool_result("t3", "ok"))]
    log.call(10, 11, history, [text("Fixed.")])
    log.run(15, 15.1, 205, ["git", "gc"])
    log.add(16, 0, lost=pb.Lost(stage="kernel", reason="ring full", count=2, unit="records"))
    log.tick(20)
    log.add(22, AGENT_PID, process_exited=pb.ProcessExited())
    log.end(22)
    return log


def test_the_findings_of_a_session_are_as_recorded():
    # The price list changes with its package; what a call costs is tested with the prices.
    lines = [
        json.dumps(_without_prices(MessageToDict(item)), ensure_ascii=False, sort_keys=True)
        for item in findings_of(build_fold(), session_log().events)
    ]
    if os.environ.get("GOLDEN_REWRITE"):
        EXPECTED.write_text("\n".join(lines) + "\n")
    assert lines == EXPECTED.read_text().splitlines()


def test_a_checkpoint_of_the_first_version_still_loads():
    events = session_log().events
    fold = build_fold()
    fold.restore(STATE.read_bytes())
    late = {item.span.span_id for item in findings_of(fold, events[STATE_AFTER_EVENTS:])}
    fresh = build_fold()
    early = {
        item.span.span_id for event in events[:STATE_AFTER_EVENTS] for item in fresh.observe(event)
    }
    everything = {item.span.span_id for item in findings_of(build_fold(), events)}
    assert late | early == everything
    assert len(late) > 5


def _without_prices(finding: dict) -> dict:
    span = finding.get("span", {})
    span["attributes"] = [
        item for item in span.get("attributes", []) if "agentsight.cost" not in item["key"]
    ]
    finding.get("sessionSummary", {}).pop("costUsd", None)
    finding.get("sessionSummary", {}).pop("unpricedCalls", None)
    if not span["attributes"]:
        del span["attributes"]
    return finding
