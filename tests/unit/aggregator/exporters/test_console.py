import pytest
from agentsight_aggregator.exporters.console import describe
from agentsight_core.pb import findings_pb2 as pb

SECOND = 1_000_000_000


def attribute(key: str, value: object) -> pb.Attribute:
    match value:
        case bool():
            return pb.Attribute(key=key, bool_value=value)
        case int():
            return pb.Attribute(key=key, int_value=value)
        case float():
            return pb.Attribute(key=key, double_value=value)
        case list():
            return pb.Attribute(key=key, strings_value=pb.StringList(values=value))
        case _:
            return pb.Attribute(key=key, string_value=str(value))


def span(name: str, seconds: float, status: int = pb.SPAN_STATUS_UNSET, **named: object) -> pb.Span:
    return pb.Span(
        name=name,
        start_ns=SECOND,
        end_ns=SECOND + int(seconds * SECOND),
        status=status,
        attributes=[attribute(key.replace("__", "."), value) for key, value in named.items()],
    )


def line(body: pb.Span) -> str | None:
    return describe(pb.Finding(session=0x3F09A1C200000000, span=body))


def test_a_call_shows_model_tokens_cost_first_token_and_tools() -> None:
    call = span(
        "chat small",
        1.8,
        gen_ai__operation__name="chat",
        gen_ai__request__model="small",
        gen_ai__response__model="small-2026",
        gen_ai__usage__input_tokens=1204,
        gen_ai__usage__cache_read__input_tokens=1000,
        gen_ai__usage__output_tokens=96,
        agentsight__cost__usd=0.0041,
        agentsight__response__tool_names=["Bash", "Edit"],
        gen_ai__response__time_to_first_chunk=0.42,
    )
    call.attributes[1].key = "gen_ai.request.model"

    assert line(call) == (
        "3f09a1c2  call     small-2026 · 1,204 in, 1,000 cached, 96 out · $0.0041 · "
        "first token 0.42 s · asks for Bash, Edit · 1.80 s"
    )


def test_a_failed_tool_says_why() -> None:
    tool = span(
        "execute_tool Bash",
        12,
        pb.SPAN_STATUS_ERROR,
        gen_ai__operation__name="execute_tool",
        gen_ai__tool__name="Bash",
        gen_ai__tool__call__arguments='{"command": "ls"}',
        error__type="tool_error",
    )

    assert line(tool) == '3f09a1c2  tool     Bash {"command": "ls"} · failed: tool_error · 12 s'


def test_a_process_shows_its_arguments_and_a_bad_exit() -> None:
    process = span(
        "ls",
        0.01,
        process__pid=77,
        process__command_args=["ls", "-l"],
        process__exit__code=2,
    )

    assert line(process) == "3f09a1c2  process  ls -l · pid 77 · exit 2 · 0.01 s"


def test_text_of_a_watched_program_cannot_drive_the_terminal() -> None:
    process = span(
        "x", 0, process__pid=1, process__command_args=["\x1b[2J\r\nowned\x9b", "y" * 500]
    )

    text = line(process)

    assert text is not None
    assert text.isprintable()
    assert len(text) < 130
    assert "…" in text


def test_a_turn_a_loss_and_an_ended_session_have_lines() -> None:
    turn = span("invoke_agent demo", 3, gen_ai__operation__name="invoke_agent")
    loss = pb.Finding(
        loss=pb.LossRecord(stage="kernel", reason="ring_full", count=1200, unit="records")
    )
    summary = pb.SessionSummary(
        agent_name="demo",
        ended=True,
        turns=1,
        llm_calls=2,
        tool_calls=3,
        input_tokens=4000,
        output_tokens=50,
        cost_usd=0.5,
        unpriced_calls=1,
        start_ns=SECOND,
        last_activity_ns=3 * SECOND,
    )

    assert line(turn) == "3f09a1c2  turn     invoke_agent demo · 3.00 s"
    assert describe(loss) == "00000000  LOST     1,200 records at kernel · ring_full"
    assert describe(pb.Finding(session_summary=summary)) == (
        "00000000  session  demo ended · 1 turns, 2 calls, 3 tools · 4,000 in, 50 out · $0.5000 · "
        "1 calls without a price · 2.0 s"
    )


@pytest.mark.parametrize(
    "finding",
    [
        pb.Finding(edge=pb.Edge()),
        pb.Finding(message=pb.ConversationMessage()),
        pb.Finding(session_summary=pb.SessionSummary(ended=False)),
        pb.Finding(),
    ],
)
def test_other_findings_have_no_line(finding: pb.Finding) -> None:
    assert describe(finding) is None
