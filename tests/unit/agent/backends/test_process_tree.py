"""A session followed by records alone."""

from __future__ import annotations

from typing import Literal

from agentsight_agent.backends.tree import ProcessTree
from agentsight_agent.bpf.records import ProcessRecord
from agentsight_agent.enrich.boot import Node
from agentsight_agent.sessions.rules import SessionRule
from agentsight_core.pb import events_pb2 as pb

ROOT, CHILD, STRANGER = 10, 20, 30


def tree() -> ProcessTree:
    return ProcessTree(Node("n", "c", "boot", "agent"), ROOT, SessionRule("r"), 1000)


def record(
    kind: Literal["forked", "executed", "exited"], pid: int, parent: int = 0
) -> ProcessRecord:
    event = pb.Event(boot_ns=5, pid=pid)
    if kind == "forked":
        event.process_forked.parent_pid = parent
    elif kind == "executed":
        event.process_executed.parent_pid = parent
        event.process_executed.argv[:] = ["claude"]
    else:
        event.process_exited.exit_code = 7
    return ProcessRecord(kind, 0, pid, 5, 0, event.SerializeToString())


def bodies(events: list[pb.Event]) -> list[str | None]:
    return [event.WhichOneof("body") for event in events]


def test_descendants_are_members_and_strangers_are_not() -> None:
    sessions = tree()
    assert sessions.on_process(record("forked", CHILD, ROOT)) == []
    began = sessions.on_process(record("executed", ROOT, 1))
    assert bodies(began) == ["session_started", "process_executed"]
    assert began[0].session_started.agent_name == "claude-code"
    forked = sessions.on_process(record("forked", CHILD, ROOT))
    assert [event.session for event in forked] == [began[0].session] != [0]
    assert sessions.on_process(record("executed", STRANGER, 1)) == []
    assert sessions.session_of(CHILD) == began[0].session
    assert sessions.session_of(STRANGER) == 0


def test_it_ends_with_its_last_member_and_the_status_of_its_root() -> None:
    sessions = tree()
    sessions.on_process(record("executed", ROOT, 1))
    sessions.on_process(record("executed", CHILD, ROOT))
    assert bodies(sessions.on_process(record("exited", ROOT))) == ["process_exited"]
    last = sessions.on_process(record("exited", CHILD))
    assert bodies(last) == ["process_exited", "session_ended"]
    assert last[1].session_ended.exit_code == 7
    assert sessions.stop(9) == []


def test_a_watcher_that_stops_says_so() -> None:
    sessions = tree()
    sessions.on_process(record("executed", ROOT, 1))
    [ended] = sessions.stop(9)
    assert ended.session_ended.watcher_stopped
