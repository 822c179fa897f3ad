"""A session with parallel tools, processes, effects, a retry, an edit and a loss, as findings."""

from __future__ import annotations

import pytest
from agentsight_aggregator.fold import build_fold, findings_of
from agentsight_core.pb import events_pb2
from agentsight_core.pb.findings_pb2 import Finding
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


@pytest.fixture
def agent_log() -> AgentLog:
    log = AgentLog()
    log.start(0)
    task = user("Count the lines, then fix the list.")
    asked = [
        tool_use("t1", "run", command="wc -l list"),
        tool_use("t2", "run", command="cat \x1b[31mlist"),
    ]
    log.call(1, 3, [task], asked)
    log.run(3.1, 3.5, 201, ["sh", "-c", "wc -l list"])
    log.run(3.2, 3.4, 202, ["wc", "-l", "list"], parent=201, exit_code=1)
    log.file(3.25, 3.3, 202, "list")
    log.run(3.1, 3.6, 203, ["cat", "\x1b[31mlist"])
    log.connection(3.2, 3.3, 203, 8080)
    history = [task, assistant(*asked)]
    history.append(results(tool_result("t1", "3"), tool_result("t2", "a b c")))
    log.call(5, 5.5, history, error=(529, "overloaded_error"))
    edit = [tool_use("t3", "edit", path="list", new="d")]
    log.call(6, 7, history, edit)
    log.file(7.2, 7.3, AGENT_PID, "/srv/list", written=2048)
    history = [*history, assistant(*edit), results(tool_result("t3", "no", is_error=True))]
    log.call(8, 9, history, [text("Done.")])
    log.add(
        10, 0, lost=events_pb2.Lost(stage="kernel", reason="ring full", count=2, unit="records")
    )
    log.end(12)
    return log


@pytest.fixture
def findings(agent_log: AgentLog) -> list[Finding]:
    return list(findings_of(build_fold(), agent_log.events))
