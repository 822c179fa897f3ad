"""Writes the EVENTS log of an imaginary agent, for tests of what reads the log.

Must not know what the log means. Bodies are those of the Anthropic Messages API (not streamed), so
that the real readers of the aggregator are in the tests too. Times are in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from agentsight_core.pb import events_pb2 as pb

Json = dict[str, object]
_WALL_ZERO_NS = 1_800_000_000 * 1_000_000_000
_BOOT_ZERO_NS = 5_000 * 1_000_000_000
AGENT_PID = 100


def wall_ns(at_s: float) -> int:
    """Return the Unix time that `at_s` of a log stands for."""
    return _WALL_ZERO_NS + round(at_s * 1e9)


def user(text: str) -> Json:
    """Return a user's message."""
    return {"role": "user", "content": text}


def assistant(*blocks: Json) -> Json:
    """Return an earlier answer, as requests repeat it."""
    return {"role": "assistant", "content": list(blocks)}


def results(*blocks: Json) -> Json:
    """Return the message that brings tool results."""
    return {"role": "user", "content": list(blocks)}


def text(content: str) -> Json:
    """Return a block of text."""
    return {"type": "text", "text": content}


def tool_use(call_id: str, name: str, **arguments: object) -> Json:
    """Return a block that asks for a tool."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def tool_result(call_id: str, content: str, *, is_error: bool = False) -> Json:
    """Return a block with what a tool gave."""
    block: Json = {"type": "tool_result", "tool_use_id": call_id, "content": content}
    return block | ({"is_error": True} if is_error else {})


class AgentLog:
    """Collects events of one session; `events` gives them in the order of their times."""

    def __init__(self, session: int = 0xA1) -> None:
        self.session = session
        self._events: list[pb.Event] = []
        self._connections = 0

    @property
    def events(self) -> list[pb.Event]:
        """All events by time; of equal times, in the order in which they were added."""
        return sorted(self._events, key=lambda event: event.wall_ns)

    def start(
        self,
        at_s: float = 0.0,
        *,
        agent_name: str = "demo-agent",
        origin: pb.SessionOrigin = pb.SESSION_ORIGIN_RULE,
    ) -> None:
        """Begin the session, its root process being AGENT_PID."""
        self.add(
            at_s,
            AGENT_PID,
            session_started=pb.SessionStarted(
                root_pid=0 if origin == pb.SESSION_ORIGIN_IMPORT else AGENT_PID,
                root_start_boot_ns=_boot_ns(at_s),
                origin=origin,
                agent_name=agent_name,
                argv=["python3", "agent.py"],
                exe="/usr/bin/python3",
                cwd="/srv/agent",
                node="node-1",
                cluster="test",
            ),
        )

    def end(self, at_s: float, exit_code: int = 0) -> None:
        """End the session."""
        self.add(at_s, AGENT_PID, session_ended=pb.SessionEnded(exit_code=exit_code))

    def call(
        self,
        start_s: float,
        end_s: float,
        messages: Sequence[Json],
        answer: Sequence[Json] = (),
        *,
        error: tuple[int, str] | None = None,
        model: str = "claude-opus-4-1",
        pid: int = AGENT_PID,
        system: str = "You help.",
    ) -> None:
        """Add a call of the model; `error` is (HTTP status, type of the vendor's error)."""
        request: Json = {"model": model, "max_tokens": 99, "messages": list(messages)}
        request["system"] = system
        self.exchange(start_s, end_s, request, _response(model, answer, error, end_s), pid=pid)

    def exchange(
        self,
        start_s: float,
        end_s: float,
        request: Json,
        response: tuple[int, Json],
        *,
        pid: int = AGENT_PID,
        target: str = "/v1/messages",
        authority: str = "api.anthropic.com",
    ) -> None:
        """Add an HTTP exchange on a connection of its own."""
        self._connections += 1
        connection = self._connections
        headers = [pb.Header(name="content-type", value="application/json")]
        head = pb.HttpRequestStarted(
            connection=connection,
            method="POST",
            target=target,
            scheme="https",
            authority=authority,
            headers=headers,
            version="1.1",
            peer_address="192.0.2.7",
            peer_port=443,
        )
        status, answer = response
        reply = pb.HttpResponseStarted(connection=connection, status=status, headers=headers)
        end = pb.HttpFinished(connection=connection, outcome=pb.HTTP_OUTCOME_COMPLETE)
        self.add(start_s, pid, http_request_started=head)
        self.add(start_s, pid, http_body=_body(connection, pb.DIRECTION_REQUEST, request))
        self.add(end_s, pid, http_response_started=reply)
        self.add(end_s, pid, http_body=_body(connection, pb.DIRECTION_RESPONSE, answer))
        self.add(end_s, pid, http_finished=end)

    def run(
        self,
        start_s: float,
        end_s: float,
        pid: int,
        argv: Sequence[str],
        *,
        parent: int = AGENT_PID,
        exit_code: int = 0,
    ) -> None:
        """Add a process: fork, exec, exit."""
        fork = pb.ProcessForked(parent_pid=parent, start_boot_ns=_boot_ns(start_s))
        self.add(start_s, pid, process_forked=fork)
        self.execute(start_s, pid, argv, parent=parent)
        self.add(end_s, pid, process_exited=pb.ProcessExited(exit_code=exit_code))

    def execute(
        self, at_s: float, pid: int, argv: Sequence[str], *, parent: int = AGENT_PID
    ) -> None:
        """Add an exec."""
        done = pb.ProcessExecuted(
            parent_pid=parent, argv=argv, exe=f"/usr/bin/{argv[0]}", cwd="/srv/agent", uid=1000
        )
        self.add(at_s, pid, process_executed=done)

    def file(self, start_s: float, end_s: float, pid: int, path: str, written: int = 0) -> None:
        """Add a file that is opened and closed."""
        flags = 0o101 if written else 0
        self.add(start_s, pid, file_opened=pb.FileOpened(path=path, flags=flags, result=5))
        closed = pb.FileClosed(path=path, fd=5, written_bytes=written, writes=written and 1)
        self.add(end_s, pid, file_closed=closed)

    def connection(self, start_s: float, end_s: float, pid: int, port: int) -> None:
        """Add a TCP connection."""
        made = pb.NetConnected(socket=port, peer_address="198.51.100.9", peer_port=port)
        self.add(start_s, pid, net_connected=made)
        done = pb.NetClosed(socket=port, peer_address="198.51.100.9", peer_port=port, sent_bytes=10)
        self.add(end_s, pid, net_closed=done)

    def tick(self, at_s: float) -> None:
        """Add a tick of the partition's clock."""
        tick = pb.Event(wall_ns=wall_ns(at_s), boot_ns=_boot_ns(at_s), tick=pb.Tick())
        self._events.append(tick)

    def add(self, at_s: float, pid: int, **body: object) -> None:
        """Add an event with the given body."""
        event = pb.Event(
            boot_ns=_boot_ns(at_s), wall_ns=wall_ns(at_s), session=self.session, pid=pid, tid=pid
        )
        for name, value in body.items():
            getattr(event, name).CopyFrom(value)
        self._events.append(event)


def _boot_ns(at_s: float) -> int:
    return _BOOT_ZERO_NS + round(at_s * 1e9)


def _body(connection: int, direction: pb.Direction, content: Json) -> pb.HttpBody:
    data = json.dumps(content).encode()
    return pb.HttpBody(connection=connection, direction=direction, data=data)


def _response(
    model: str, answer: Sequence[Json], error: tuple[int, str] | None, end_s: float
) -> tuple[int, Json]:
    if error is not None:
        status, kind = error
        return status, {"type": "error", "error": {"type": kind, "message": "not now"}}
    wants_tools = any(block["type"] == "tool_use" for block in answer)
    return 200, {
        "id": f"msg_{round(end_s * 1000)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(answer),
        "stop_reason": "tool_use" if wants_tools else "end_turn",
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }
