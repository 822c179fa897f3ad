"""What makes spans findable: links, tags, and what is said of cut content."""

import json

import pytest
from agentsight_aggregator.analyzers.links import MAX_LINKS, trace_context
from agentsight_core.ids import digest
from agentsight_core.testing.agent_log import (
    AgentLog,
    assistant,
    results,
    text,
    tool_result,
    tool_use,
    user,
)

CHAT = "chat claude-opus-4-1"
TURN = "invoke_agent demo-agent"
BASH = "execute_tool bash"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def links_of(span) -> list[tuple[str, bytes]]:
    return [(link.attributes[0].string_value, link.span_id) for link in span.raw.links]


def with_a_tool(*, exit_codes: tuple[int, ...] = (3,)) -> AgentLog:
    """Two turns; in the first one a tool starts a process for each exit code."""
    log = AgentLog()
    log.start(0)
    asked = [tool_use("t1", "bash", command="make test")]
    log.call(1, 2, [user("Test it.")], asked)
    for number, code in enumerate(exit_codes):
        log.run(2.1 + number / 10, 3, 201 + number, ["make", "test"], exit_code=code)
    history = [user("Test it."), assistant(*asked), results(tool_result("t1", "it fails"))]
    log.call(4, 5, history, [text("It fails.")])
    log.call(8, 9, [*history, assistant(text("It fails.")), user("Why?")], [text("Because.")])
    log.end(12)
    return log


def test_a_turn_goes_back_to_the_one_before(run):
    first, second = run(with_a_tool()).named(TURN)
    assert first.raw.trace_id != second.raw.trace_id
    assert links_of(first) == []
    assert links_of(second) == [("previous_turn", first.raw.span_id)]
    assert second.raw.links[0].trace_id == first.raw.trace_id


def test_a_tool_goes_back_to_its_answer_and_the_next_call_to_the_tool(run):
    found = run(with_a_tool())
    asking, bringing, last = found.named(CHAT)
    (tool,) = found.named(BASH)
    assert links_of(tool) == [("requested", asking.raw.span_id)]
    assert links_of(bringing) == [("tool_result", tool.raw.span_id)]
    assert links_of(last) == []


def test_results_beyond_the_bound_are_counted(run):
    log = AgentLog()
    log.start(0)
    asked = [tool_use(f"t{n}", "look", at=n) for n in range(MAX_LINKS + 3)]
    log.call(1, 2, [user("Look.")], asked)
    brought = results(*(tool_result(f"t{n}", "seen") for n in range(MAX_LINKS + 3)))
    log.call(4, 5, [user("Look."), assistant(*asked), brought], [text("Seen.")])
    log.end(6)
    _, bringing = run(log).named(CHAT)
    assert len(bringing.raw.links) == MAX_LINKS
    assert bringing.attributes["agentsight.links.omitted"] == 3


def test_calls_of_two_agents_in_one_trace_of_their_own_are_found_by_it(run):
    """Agent A calls agent B, which hands the trace context on: both calls carry the same id."""
    found = []
    for session, span in ((0xA1, SPAN), (0xB2, SPAN[::-1])):
        log = AgentLog(session)
        log.start(0)
        log.call(1, 2, [user("Ask the other.")], [text("Done.")])
        for event in log.events:
            if event.WhichOneof("body") == "http_request_started":
                header = event.http_request_started.headers.add()
                header.name, header.value = "traceparent", f"00-{TRACE}-{span}-01"
        log.end(3)
        (call,) = run(log).named(CHAT)
        assert links_of(call) == [("trace_context", bytes.fromhex(span))]
        found.append(call.attributes["agentsight.trace_context.trace_id"])
    assert found == [TRACE, TRACE]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "none",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_what_is_no_trace_context_makes_no_link(header):
    assert trace_context(header) is None


@pytest.mark.parametrize(
    ("exit_codes", "said"), [((3,), 3), ((0, 0), 0), ((0, 3), None), ((), None)]
)
def test_a_tool_has_the_exit_status_that_its_processes_share(run, exit_codes, said):
    (tool,) = run(with_a_tool(exit_codes=exit_codes)).named(BASH)
    assert tool.attributes.get("process.exit.code") == said
    assert tool.attributes.get("process.executable.name") == ("make" if exit_codes else None)


def test_every_span_can_be_found_by_its_session(run):
    assert {span.attributes["session.id"] for span in run(with_a_tool()).spans} == {
        "00000000000000a1"
    }


def test_one_message_that_is_cut_says_how_long_it_was(run):
    log = AgentLog()
    log.start(0)
    log.call(1, 2, [user("long " * 5_000)], [text("short")])
    log.end(3)
    found = run(log)
    (call,) = found.named(CHAT)
    key = "agentsight.cut.gen_ai.input.messages"
    shown = call.attributes["gen_ai.input.messages"]
    (message,) = [item.message for item in found.bodies("message") if item.message.role == "user"]
    assert len(shown.encode()) <= 8192
    assert json.loads(shown)[0]["parts"][0]["agentsight.cut"] is True
    assert call.attributes[f"{key}.bytes"] == len(message.parts_json) > 25_000
    assert call.attributes[f"{key}.hash"] == digest(message.hash, size=16).hex()
    assert f"{key}.omitted" not in call.attributes
    assert not any("output.messages.bytes" in name for name in call.attributes)
