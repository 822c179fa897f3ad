"""One session of an imaginary agent that has a bit of everything a trace can show.

For tests of what reads traces: two turns, a tool with a process that fails, a subagent, a long
message. Must not know what becomes of it.
"""

from __future__ import annotations

from agentsight_core.testing.agent_log import (
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
)

AGENT = "trace-agent"
MODEL = "claude-opus-4-1"
# Each call of `AgentLog` uses 100 and 20 tokens; of the first turn, then of all.
CALLS_OF_FIRST_TURN, CALLS = 3, 4
_SUBTASK = "Find out why the test of the sums fails, and say it in one sentence."


def traced_session(session: int = 0x7A) -> AgentLog:
    """Return the log; the same one for the same `session`."""
    log = AgentLog(session)
    log.start(0, agent_name=AGENT)
    task = user("Fix the failing test, please. " + "It matters. " * 2_000)
    asked = [
        tool_use("t1", "bash", command="pytest -q tests"),
        tool_use("t2", "Task", prompt=_SUBTASK),
    ]
    log.call(1, 2, [task], asked)
    log.run(2.2, 3, 301, ["pytest", "-q", "tests"], exit_code=1)
    log.call(2.5, 4, [user(_SUBTASK)], [text("It adds one too much.")], system="You look.")
    back = results(
        tool_result("t1", "1 failed", is_error=True), tool_result("t2", "It adds one too much.")
    )
    history = [task, assistant(*asked), back]
    log.call(5, 6, history, [text("Fixed.")])
    log.call(9, 10, [*history, assistant(text("Fixed.")), user("Thanks. Why was it?")], [text("!")])
    log.end(12)
    return log
