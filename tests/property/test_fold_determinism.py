"""Saving and restoring the fold anywhere in any log changes no byte of its findings."""

from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_aggregator.fold import PartitionFold, build_fold
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.ports import END_OF_TIME_NS
from agentsight_core.testing.agent_log import (
    AGENT_PID,
    AgentLog,
    Json,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
)
from hypothesis import given, settings
from hypothesis import strategies as st

# Small bounds, so that every table overflows in some of the logs.
TIGHT = FoldSettings(
    max_sessions=2,
    max_threads=2,
    max_open_tools=3,
    max_processes=6,
    max_messages=8,
    max_retrying=1,
    max_effects=3,
    max_label_sets=2,
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "call",
                "call",
                "turn",
                "fail",
                "side",
                "run",
                "run",
                "file",
                "net",
                "end",
                "tick",
                "lost",
                "open",
                "edit",
            ]
        ),
        # which session, which of its tools or processes, seconds until the next step
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.01, 0.4, 3.0, 400.0]),
    ),
    max_size=40,
)


class Agent:
    """Makes a log out of steps: a conversation that goes on, with tools and processes."""

    def __init__(self, number: int) -> None:
        self.log = AgentLog(session=number + 1)
        self.log.start(0.0, agent_name=f"agent-{number}")
        self.history: list[Json] = [user(f"Task of {number}")]
        self.calls = 0

    def step(self, kind: str, which: int, at: float) -> None:
        getattr(self, kind)(which, at)

    def call(self, which: int, at: float) -> None:
        self.calls += 1
        names = [f"{self.calls}-{index}" for index in range(which)]
        answer = [text("so"), *(tool_use(name, "bash", command=f"run {name}") for name in names)]
        self.log.call(at, at + 0.3, self.history, answer)
        self.history.append(assistant(*answer))
        back = [tool_result(name, "out", is_error=which == 2) for name in names]
        self.history.append(results(*back) if back else user(f"next {self.calls}"))

    def turn(self, which: int, at: float) -> None:
        self.history.append(user(f"And now {which} {at}"))
        self.call(0, at)

    def fail(self, which: int, at: float) -> None:
        self.log.call(at, at + 0.2, self.history, error=((529, 400)[which % 2], "overloaded_error"))

    def side(self, which: int, at: float) -> None:
        self.log.call(at, at + 0.1, [user(f"title {which}")], [text("T")], system="titles")

    def run(self, which: int, at: float) -> None:
        pid, parent = 200 + which, (AGENT_PID, 200)[which % 2]
        self.log.run(at, at + 1.0, pid, ["sh", "-c", f"run {self.calls}-{which}"], parent=parent)

    def file(self, which: int, at: float) -> None:
        self.log.file(at, at + 0.5, (AGENT_PID, 200, 201, 999)[which], f"/f/{which}", which)

    def edit(self, which: int, at: float) -> None:
        self.log.file(at, at + 0.5, AGENT_PID, f"run {self.calls}-{which}", 1)

    def net(self, which: int, at: float) -> None:
        self.log.connection(at, at + 0.5, 200 + which, 80 + which)

    def open(self, which: int, at: float) -> None:
        head = pb.HttpRequestStarted(connection=900 + which, method="POST", target="/v1/messages")
        self.log.add(at, AGENT_PID, http_request_started=head)

    def lost(self, which: int, at: float) -> None:
        self.log.add(at, 0, lost=pb.Lost(stage="kernel", reason="full", count=which, unit="x"))

    def tick(self, which: int, at: float) -> None:
        self.log.tick(at)

    def end(self, which: int, at: float) -> None:
        self.log.end(at, exit_code=which)


def make_log(steps: list[tuple[str, int, int, float]]) -> list[pb.Event]:
    agents = [Agent(number) for number in range(3)]
    at = 1.0
    for kind, session, which, pause in steps:
        agents[session].step(kind, which, at)
        at += pause
    events = [event for agent in agents for event in agent.log.events]
    return sorted(events, key=lambda event: event.wall_ns)


def fold_log(events: list[pb.Event], restarts: set[int]) -> tuple[list[bytes], list[object]]:
    fold: PartitionFold = build_fold(TIGHT)
    found = []
    for position, event in enumerate(events):
        if position in restarts:
            successor = build_fold(TIGHT)
            successor.restore(fold.snapshot())
            fold = successor
        found += fold.observe(event)
    found += fold.advance(END_OF_TIME_NS)
    return [item.SerializeToString() for item in found], list(fold.samples())


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, data=st.data())
def test_restarts_anywhere_change_nothing(steps, data):
    events = make_log(steps)
    restarts = data.draw(st.sets(st.integers(0, len(events) - 1), max_size=4))
    assert fold_log(events, restarts) == fold_log(events, set())


@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_a_restart_before_every_event_changes_nothing(steps):
    events = make_log(steps)
    assert fold_log(events, set(range(len(events)))) == fold_log(events, set())


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_every_call_and_process_is_one_span_and_spans_form_trees(steps):
    fold = build_fold()
    events = make_log(steps)
    found = [item for event in events for item in fold.observe(event)]
    found += fold.advance(END_OF_TIME_NS)
    spans = [item.span for item in found if item.HasField("span")]
    ids = {span.span_id: span for span in spans}
    assert len(ids) == len(spans)
    assert len({item.id for item in found}) == len(found)
    for span in spans:
        assert span.end_ns >= span.start_ns
        assert any(span.trace_id)
        assert any(span.span_id)
        if span.parent_span_id:
            assert ids[span.parent_span_id].trace_id == span.trace_id
    for item in found:
        if item.HasField("edge"):
            assert item.edge.cause_span_id in ids
            assert item.edge.effect_span_id in ids
    last = {
        item.session: item.session_summary for item in found if item.HasField("session_summary")
    }
    kinds = [span.name.split(" ")[0] for span in spans]
    assert sum(summary.llm_calls for summary in last.values()) == kinds.count("chat")
    assert sum(summary.tool_calls for summary in last.values()) == kinds.count("execute_tool")
    assert sum(summary.turns for summary in last.values()) == kinds.count("invoke_agent")
    processes = [span for span in spans if span.name in {"python3", "sh", "process"}]
    assert sum(summary.processes for summary in last.values()) == len(processes)
    assert not fold._state.sessions
