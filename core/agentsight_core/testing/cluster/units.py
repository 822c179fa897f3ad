"""The content of generated frames: numbered units that the whole way down can be told apart.

A unit is a tool process and a call of a model, so that it makes spans, counters and state in the
aggregator. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from agentsight_core.pb import events_pb2 as pb

ROOT_PID = 100
_FIRST_PID = 1000
_JSON = [pb.Header(name="content-type", value="application/json")]


def unit_events(session: int, unit: int, wall_ns: int, padding: int = 0) -> list[pb.Event]:
    """Return the events of a unit (1, 2, 3…); `padding` bytes make its prompt longer."""
    bodies = [*_session_start(session, unit), *_process(unit), *_call(unit, padding)]
    return [
        _event(session, wall_ns + number, pid, body) for number, (pid, body) in enumerate(bodies)
    ]


def end_events(session: int, wall_ns: int) -> list[pb.Event]:
    """Return the end of a session."""
    return [_event(session, wall_ns, ROOT_PID, pb.Event(session_ended=pb.SessionEnded()))]


def unit_of(events: Sequence[pb.Event]) -> int:
    """Return the number of the unit that `events` are; 0 if they are none."""
    for event in events:
        if event.HasField("http_request_started"):
            return event.http_request_started.connection
    return 0


def digest_of(events: Sequence[pb.Event]) -> str:
    """Return what identifies the content."""
    batch = pb.EventBatch(events=events).SerializeToString(deterministic=True)
    return hashlib.blake2b(batch, digest_size=8).hexdigest()


def _event(session: int, wall_ns: int, pid: int, body: pb.Event) -> pb.Event:
    event = pb.Event(boot_ns=wall_ns, wall_ns=wall_ns, session=session, pid=pid, tid=pid)
    event.MergeFrom(body)
    return event


def _session_start(session: int, unit: int) -> list[tuple[int, pb.Event]]:
    if unit != 1:
        return []
    started = pb.SessionStarted(
        root_pid=ROOT_PID,
        origin=pb.SESSION_ORIGIN_RULE,
        agent_name="generator",
        argv=["generator", f"{session:x}"],
    )
    return [(ROOT_PID, pb.Event(session_started=started))]


def _process(unit: int) -> list[tuple[int, pb.Event]]:
    pid = _FIRST_PID + unit
    executed = pb.ProcessExecuted(parent_pid=ROOT_PID, argv=["tool", str(unit)], exe="/bin/tool")
    return [
        (pid, pb.Event(process_forked=pb.ProcessForked(parent_pid=ROOT_PID))),
        (pid, pb.Event(process_executed=executed)),
        (pid, pb.Event(process_exited=pb.ProcessExited(exit_code=unit % 3))),
    ]


def _call(unit: int, padding: int) -> list[tuple[int, pb.Event]]:
    head = pb.HttpRequestStarted(
        connection=unit,
        method="POST",
        target="/v1/messages",
        scheme="https",
        authority="api.anthropic.com",
        headers=_JSON,
        version="1.1",
    )
    request: dict[str, object] = {
        "model": "claude-opus-4-1",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": f"unit {unit} {_incompressible(unit, padding)}"}],
    }
    response: dict[str, object] = {
        "id": f"msg_{unit}",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-1",
        "content": [{"type": "text", "text": f"done {unit}"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": unit, "output_tokens": 2},
    }
    reply = pb.HttpResponseStarted(connection=unit, status=200, headers=_JSON)
    end = pb.HttpFinished(connection=unit, outcome=pb.HTTP_OUTCOME_COMPLETE)
    parts = [
        pb.Event(http_request_started=head),
        pb.Event(http_body=_body(unit, pb.DIRECTION_REQUEST, request)),
        pb.Event(http_response_started=reply),
        pb.Event(http_body=_body(unit, pb.DIRECTION_RESPONSE, response)),
        pb.Event(http_finished=end),
    ]
    return [(ROOT_PID, part) for part in parts]


def _incompressible(unit: int, size: int) -> str:
    return hashlib.shake_128(str(unit).encode()).hexdigest(size // 2)


def _body(unit: int, direction: pb.Direction, content: dict[str, object]) -> pb.HttpBody:
    return pb.HttpBody(connection=unit, direction=direction, data=json.dumps(content).encode())
