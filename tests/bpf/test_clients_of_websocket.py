"""Real WebSocket clients under `agentsight record`: what is captured equals what the server saw."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.testing.llm_websocket_server import LlmWebSocketServer, llm_websocket_server
from agentsight_core.testing.recorded_run import RecordedRun, record

pytestmark = pytest.mark.kernel

# The official SDK; it offers no compression. Both clients are those for asyncio: the others read
# and write one TLS connection in two threads (https://github.com/python/cpython/issues/151508).
REALTIME = """
import asyncio, openai
async def main():
    client = openai.AsyncOpenAI(max_retries=0)
    async with client.realtime.connect(model="gpt-realtime") as connection:
        assert (await connection.recv()).type == "session.created"
        for words in ("What is the weather?", "And tomorrow?"):
            content = [{"type": "input_text", "text": words}]
            item = {"type": "message", "role": "user", "content": content}
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            async for event in connection:
                if event.type == "response.done":
                    break
asyncio.run(main())
"""

# As agents use the Responses API over a WebSocket: one connection for all their calls.
RESPONSES = """
import asyncio, json, os, ssl
from websockets.asyncio.client import connect
async def main():
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
    url = os.environ["URL"] + "/v1/responses"
    async with connect(url, ssl=context, compression=COMPRESSION, max_size=None) as socket:
        for length in (10, 20_000):
            ask = {"type": "response.create", "model": "gpt-test", "input": "Hi " * length}
            await socket.send(json.dumps({**ask, "max_tokens": length}))
            while json.loads(await socket.recv())["type"] != "response.completed":
                pass
asyncio.run(main())
"""

CLIENTS = {
    "openai-realtime": (REALTIME, "gpt-realtime", ""),
    "websockets-deflate": (
        RESPONSES.replace("COMPRESSION", "'deflate'"),
        "gpt-test",
        "permessage-deflate",
    ),
    "websockets-plain": (RESPONSES.replace("COMPRESSION", "None"), "gpt-test", ""),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LlmWebSocketServer]:
    with llm_websocket_server(tmp_path) as server:
        yield server


def messages(run: RecordedRun, direction: pb.Direction) -> list[str]:
    """Return the messages of one direction, their parts joined."""
    found: list[str] = []
    parts: list[bytes] = []
    for event in run.events:
        part = event.websocket_message
        if part.direction != direction or part.kind == pb.WEB_SOCKET_KIND_CLOSE:
            continue
        assert part.problem == ""
        parts.append(part.data)
        if not part.continues:
            found.append(b"".join(parts).decode())
            parts = []
    return found


@pytest.mark.parametrize("client", CLIENTS)
def test_messages_are_complete_and_the_calls_are_found(
    client: str, server: LlmWebSocketServer, tmp_path: Path
) -> None:
    script, model, extension = CLIENTS[client]
    run = record([sys.executable, "-c", script], tmp_path, server.environment)

    assert run.exit_status == 0, run.stderr
    assert server.extensions == [extension]
    assert messages(run, pb.DIRECTION_REQUEST) == server.received
    assert messages(run, pb.DIRECTION_RESPONSE) == server.sent
    (exchange,) = run.exchanges()
    assert exchange.finished is not None
    assert exchange.finished.outcome == pb.HTTP_OUTCOME_UPGRADED
    assert exchange.finished.error == ""
    assert exchange.finished.response_messages == len(server.sent)
    assert run.losses() == {}
    assert run.summary["llm_calls"] == 2
    assert run.summary["failed_llm_calls"] == 0
    assert run.summary["models"] == [model]
