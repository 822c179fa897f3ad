from agentsight_core.testing.agent_log import AgentLog, text, user, wall_ns

CHAT = "chat claude-opus-4-1"
HELLO = [user("hello")]


def test_attempts_of_one_request_are_one_call(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 1.2, HELLO, error=(529, "overloaded_error"))
    log.call(2, 2.1, HELLO, error=(429, "rate_limit_error"))
    log.call(60, 61, HELLO, [text("hi")])
    log.end(63)
    found = run(log)
    (call,) = found.named(CHAT)
    assert (call.raw.start_ns, call.raw.end_ns) == (wall_ns(1), wall_ns(61))
    assert call.attributes["agentsight.retries"] == 2
    assert "error.type" not in call.attributes
    attempts = [attributes["error.type"] for name, attributes in call.events]
    assert attempts == ["overloaded_error", "rate_limit_error"]
    assert found.total("agentsight.llm.calls") == 1
    assert found.total("agentsight.llm.retries") == 2
    assert len(found.named("invoke_agent demo-agent")) == 1


def test_a_retry_that_never_comes_leaves_the_failure(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 2, HELLO, error=(529, "overloaded_error"))
    log.tick(70)
    early = run(log.events[:-1])
    log.tick(80)
    for found in (early, run(log)):
        (call,) = found.named(CHAT)
        assert call.attributes["error.type"] == "overloaded_error"
        assert call.raw.end_ns == wall_ns(2)


def test_the_failure_is_written_when_its_time_is_over_and_not_before(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 2, HELLO, error=(529, "overloaded_error"))
    found = run(log)
    fold = type(found.fold)(found.fold._read_call)
    for event in log.events:
        assert not [item for item in fold.observe(event) if item.WhichOneof("body") == "span"]
    assert not list(fold.advance(wall_ns(70)))
    spans = [item.span.name for item in fold.advance(wall_ns(78)) if item.HasField("span")]
    assert spans == [CHAT]


def test_an_equal_request_after_a_success_or_a_refusal_is_a_call_of_its_own(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 2, HELLO, [text("hi")])
    log.call(3, 4, HELLO, error=(400, "invalid_request_error"))
    log.call(5, 6, HELLO, [text("hi again")])
    log.end(8)
    assert len(run(log).named(CHAT)) == 3


def test_equal_requests_at_the_same_time_are_not_retries(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 3, HELLO, error=(529, "overloaded_error"))
    log.call(2, 4, HELLO, [text("hi")])
    log.end(8)
    found = run(log)
    assert len(found.named(CHAT)) == 2
    assert found.total("agentsight.llm.retries") == 0
