"""The capture mode changes while exchanges are open: less at once, more from the next one on."""

import pytest
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_agent.redact.rules import Scanner
from agentsight_core.parsers.messages import (
    BodyPart,
    ExchangeFinished,
    HttpMessage,
    RequestStarted,
)
from agentsight_core.pb import events_pb2 as pb

SCANNER = Scanner()
# Looks like a key, and is none.
SECRET = b"sk-" + b"ant-api03-" + b"A1b2C3d4" * 5
LESS = [CaptureMode.NONE, CaptureMode.METADATA]
MORE = [CaptureMode.REDACTED, CaptureMode.FULL]


def redactor(mode: CaptureMode) -> Redactor:
    return Redactor(mode, b"a key of this test", SCANNER)


def part(data: bytes, exchange: int = 0) -> BodyPart:
    return BodyPart(exchange, pb.DIRECTION_RESPONSE, data, (0,), (1,))


def end(exchange: int = 0) -> ExchangeFinished:
    return ExchangeFinished(
        exchange=exchange,
        time_ns=9,
        outcome=pb.HTTP_OUTCOME_COMPLETE,
        error="",
        request_bytes=0,
        response_bytes=0,
        lost_bytes=0,
        request_truncated=False,
        response_truncated=False,
        request_end_ns=0,
    )


def content(messages: list[HttpMessage]) -> bytes:
    return b"".join(m.data for m in messages if isinstance(m, BodyPart))


@pytest.mark.parametrize("less", LESS)
@pytest.mark.parametrize("more", MORE)
def test_less_holds_at_once_and_the_cut_is_marked(more: CaptureMode, less: CaptureMode) -> None:
    one = redactor(more)
    one.message("c", part(b"before "))
    one.set_mode(less)
    assert content(one.message("c", part(b"after"))) == b""
    out = one.message("c", end())
    assert content(out) == b"", "what was held back for the redaction is dropped, too"
    assert [(m.response_truncated, m.request_truncated) for m in out] == [(True, False)]  # type: ignore[union-attr]
    assert one.held_bytes == 0
    assert one.dropped_bytes["mode"] >= len(b"after")


@pytest.mark.parametrize("less", LESS)
@pytest.mark.parametrize("more", MORE)
def test_more_holds_from_the_next_exchange_on(less: CaptureMode, more: CaptureMode) -> None:
    one = redactor(less)
    one.message("c", part(SECRET[:20]))
    one.set_mode(more)
    # The second half of a key, which no rule could recognize.
    assert content([*one.message("c", part(SECRET[20:])), *one.message("c", end())]) == b""
    out = [*one.message("c", part(b"text", 1)), *one.message("c", end(1))]
    assert content(out) == b"text"


def test_full_that_becomes_redacted_lets_no_credential_out_any_more() -> None:
    one = redactor(CaptureMode.FULL)
    one.message("c", part(b"before "))
    one.set_mode(CaptureMode.REDACTED)
    out = [*one.message("c", part(b"key: " + SECRET)), *one.message("c", end())]
    assert SECRET not in content(out)
    assert content(out).startswith(b"key: ")


def test_heads_follow_the_mode() -> None:
    one = redactor(CaptureMode.FULL)
    request = RequestStarted(0, 1, "POST", "/v1/messages?key=abc", "1.1", (("x-own", "1"),))
    assert one.message("c", request) == [request]
    one.message("c", end())
    one.set_mode(CaptureMode.METADATA)
    (again,) = one.message("c", request)
    assert isinstance(again, RequestStarted)
    assert (again.target, again.headers) == ("/v1/messages", ())
    one.message("c", end())
    one.set_mode(CaptureMode.NONE)
    assert one.message("c", request) == []
    assert one.message("c", end()) == []
