"""Credentials do not leave in messages of a WebSocket, nor in trailers."""

from __future__ import annotations

import pytest
from agentsight_agent.redact import CaptureMode, Redactor
from agentsight_core.parsers.messages import ExchangeFinished, WebSocketKind, WebSocketMessage
from agentsight_core.pb import events_pb2 as pb

SECRET = "sk-" + "proj-" + "A1b2C3d4E5f6G7h8J9" * 3


def message(data: bytes) -> WebSocketMessage:
    return WebSocketMessage(
        exchange=0,
        direction=pb.DIRECTION_REQUEST,
        kind=WebSocketKind.TEXT,
        data=data,
        start_ns=1,
        time_ns=2,
    )


def end() -> ExchangeFinished:
    return ExchangeFinished(
        exchange=0,
        time_ns=3,
        outcome=pb.HTTP_OUTCOME_UPGRADED,
        error="",
        request_bytes=0,
        response_bytes=0,
        lost_bytes=0,
        request_truncated=False,
        response_truncated=False,
        request_end_ns=0,
        trailers=(("grpc-message", f"key {SECRET}"), ("x-token", SECRET), ("date", "today")),
    )


def test_messages_are_redacted_each_by_itself() -> None:
    redactor = Redactor(CaptureMode.REDACTED, b"key")
    (found,) = redactor.message(1, message(b'{"text": "my key is %b"}' % SECRET.encode()))
    assert isinstance(found, WebSocketMessage)
    assert SECRET.encode() not in found.data
    assert b"my key is <redacted:openai-key:" in found.data
    assert redactor.held_bytes == 0
    assert redactor.message(1, message(b"plain")) == [message(b"plain")]


def test_trailers_are_redacted_like_headers() -> None:
    (found,) = Redactor(CaptureMode.REDACTED, b"key").message(1, end())
    assert isinstance(found, ExchangeFinished)
    assert SECRET not in str(found.trailers)
    assert found.trailers[2] == ("date", "today")
    (found,) = Redactor(CaptureMode.METADATA, b"key").message(1, end())
    assert isinstance(found, ExchangeFinished)
    assert found.trailers == (("date", "today"),)


@pytest.mark.parametrize("mode", [CaptureMode.METADATA, CaptureMode.NONE])
def test_without_content_only_the_time_remains(mode: CaptureMode) -> None:
    redactor = Redactor(mode, b"key")
    found = redactor.message(1, message(b"words!!"))
    assert "words!!" not in str(found)
    assert len(found) == (1 if mode is CaptureMode.METADATA else 0)
    assert redactor.dropped_bytes == {"mode": 7}


def test_a_failing_redactor_lets_no_content_out() -> None:
    class Broken:
        def scan(self, data: bytes) -> list[object]:
            raise RuntimeError("a bug")

    redactor = Redactor(CaptureMode.REDACTED, b"key", Broken())  # type: ignore[arg-type]
    (found,) = redactor.message(1, message(SECRET.encode()))
    assert isinstance(found, WebSocketMessage)
    assert (found.data, found.problem) == (b"", "the redaction failed")
    assert redactor.failures == 1
    assert redactor.dropped_bytes == {"failed": len(SECRET)}


def test_mode_full_changes_nothing() -> None:
    redactor = Redactor(CaptureMode.FULL, b"key")
    whole = message(SECRET.encode())
    assert redactor.message(1, whole) == [whole]
    assert redactor.message(1, end()) == [end()]
