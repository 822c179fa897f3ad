import pytest
from agentsight_aggregator.analyzers.settings import FoldSettings
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.samples import Histogram
from agentsight_core.errors import Permanent
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.agent_log import AGENT_PID, AgentLog, text, user, wall_ns

CHAT = "chat claude-opus-4-1"


def small_log(session: int = 1, at: float = 1.0, agent_name: str = "demo-agent") -> AgentLog:
    log = AgentLog(session)
    log.start(at - 1, agent_name=agent_name)
    log.call(at, at + 1, [user("hi")], [text("ho")])
    return log


def test_the_last_summary_has_the_sums_of_the_session(run):
    log = small_log()
    log.call(3, 4, [user("x")], error=(400, "invalid_request_error"))
    log.run(5, 6, 7, ["ls"])
    log.file(5, 5.5, 7, "a")
    log.connection(5, 5.5, 7, 80)
    log.end(8, exit_code=3)
    summaries = run(log).summaries
    last = summaries[-1]
    assert [summary.ended for summary in summaries] == [False] * (len(summaries) - 1) + [True]
    assert (last.llm_calls, last.failed_llm_calls, last.turns) == (2, 1, 2)
    assert (last.processes, last.files, last.connections) == (2, 1, 1)
    assert (last.input_tokens, last.output_tokens, last.exit_code) == (100, 20, 3)
    assert list(last.models) == ["claude-opus-4-1"]
    assert (last.start_ns, last.last_activity_ns) == (wall_ns(0), wall_ns(8))


def test_a_summary_comes_with_the_end_of_each_turn():
    fold = build_fold()
    found = [item for event in small_log().events for item in fold.observe(event)]
    kinds = [item.WhichOneof("body") for item in found]
    assert kinds.count("session_summary") == 1
    assert kinds.count("span") == 2


def test_a_session_that_has_ended_ends_once_however_late_the_next_tick_comes():
    fold = build_fold()
    log = small_log()
    log.end(8)
    found = [item for event in log.events for item in fold.observe(event)]
    # An hour without a tick: the bus was away, or a clock was wrong.
    found += fold.advance(wall_ns(60 * 60))
    ids = [item.id for item in found]
    assert len(ids) == len(set(ids))
    assert [item.span.name for item in found].count("session demo-agent") == 1


def test_a_session_without_end_is_idle_and_then_forgotten(run):
    fold = build_fold()
    for event in small_log().events:
        fold.observe(event)
    fold.advance(wall_ns(60 * 60))
    assert len(fold._state.sessions) == 1
    found = fold.advance(wall_ns(25 * 60 * 60))
    assert {item.span.name for item in found if item.HasField("span")} == {
        "python3",
        "session demo-agent",
    }
    assert len(fold._state.sessions) == 0


def test_events_after_the_end_are_counted_and_make_no_new_session(run):
    log = small_log()
    log.end(3)
    log.tick(10)
    log.add(11, AGENT_PID, process_exited=pb.ProcessExited())
    found = run(log)
    assert found.total("agentsight.ignored", reason="after_the_session_ended") == 1
    assert found.total("agentsight.sessions", state="started") == 1


def test_an_unfinished_exchange_of_an_ended_session_is_a_marked_call(run):
    log = small_log()
    log.call(3, 9, [user("more")], [text("cut")])
    log.end(5)
    log.tick(7)
    calls = run([event for event in log.events if event.wall_ns <= wall_ns(7)]).named(CHAT)
    assert len(calls) == 2
    problems = calls[1].attributes["agentsight.problems"]
    assert any("session ended" in problem for problem in problems)


def test_losses_are_handed_on_and_counted(run):
    log = small_log()
    lost = pb.Lost(stage="kernel", reason="ring full", count=7, unit="records")
    log.add(2, 0, lost=lost)
    log.add(2, 0, lost=lost)
    found = run(log)
    assert [item.loss.count for item in found.bodies("loss")] == [7, 7]
    assert len({item.id for item in found.bodies("loss")}) == 2
    assert found.total("agentsight.lost", stage="kernel", reason="ring full") == 14


def test_events_that_cannot_be_used_are_counted(run):
    log = small_log()
    log.add(2, 1)
    nameless = pb.Event(wall_ns=wall_ns(2), process_exited=pb.ProcessExited())
    found = run([*log.events, nameless])
    assert found.total("agentsight.ignored", reason="event_without_body") == 1
    assert found.total("agentsight.ignored", reason="event_without_session") == 1


def test_label_sets_are_bounded_and_the_rest_is_other(run):
    events = []
    for number in range(1, 8):
        log = small_log(number, number * 10, agent_name=f"agent-{number}")
        log.end(number * 10 + 5)
        events += log.events
    found = run(events, FoldSettings(max_label_sets=3))
    turns = [item for item in found.samples if item.name == "agentsight.turns"]
    assert [(dict(item.labels)["gen_ai.agent.name"], item.value) for item in turns] == [
        ("agent-1", 1),
        ("agent-2", 1),
        ("agent-3", 1),
        ("other", 4),
    ]
    assert found.total("agentsight.label_overflow", metric="agentsight.turns") == 4


def test_too_many_sessions_end_the_one_that_is_longest_silent(run):
    events = []
    for number in (1, 2, 3):
        events += small_log(number, number * 10).events
    found = run(events, FoldSettings(max_sessions=2))
    assert found.total("agentsight.evicted", table="sessions") == 1
    assert [item.session for item in found.bodies("session_summary")][:3] == [1, 2, 1]
    assert len(found.named(CHAT)) == 3


def test_samples_are_those_of_the_conventions(run):
    log = small_log()
    log.end(5)
    samples = {item.name: item for item in run(log).samples}
    duration = samples["gen_ai.client.inference.duration"]
    assert isinstance(duration, Histogram)
    assert (duration.unit, sum(duration.counts), duration.sum) == ("s", 1, 1.0)
    assert dict(duration.labels) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-4-1",
        "gen_ai.response.model": "claude-opus-4-1",
        "server.address": "api.anthropic.com",
        "server.port": "443",
    }
    tokens = samples["gen_ai.client.inference.usage.input_tokens"]
    assert dict(tokens.labels)["gen_ai.token.modality"] == "unknown"
    assert tokens.value == 100


@pytest.mark.parametrize("state", [b"", b"\x00", b"\xff{}", b"\x01garbage", b"\x01\x80\x80"])
def test_a_snapshot_that_is_none_is_refused(state: bytes):
    with pytest.raises(Permanent):
        build_fold().restore(state)
