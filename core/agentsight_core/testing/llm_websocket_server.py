"""A TLS server on loopback that answers over WebSocket as OpenAI's Responses and Realtime APIs do.

The frames are made by the `websockets` library, compression included. `received` and `sent` are the
truth, kept by the other end of the connection. Must not know how anything is captured.

It runs in a loop of its own: the library's threads read and write one TLS connection at once, which
Python's `ssl` does not guard (https://github.com/python/cpython/issues/151508).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agentsight_core.testing.llm_tls_server import make_certificate

Json = dict[str, Any]
_PIECES = 4


class LlmWebSocketServer:
    """Serves /v1/responses and /v1/realtime; `max_tokens` of a request is the answer's length."""

    def __init__(self, folder: Path) -> None:
        self.ca = make_certificate(folder)
        self.received: list[str | bytes] = []
        self.sent: list[str] = []
        # What the clients have agreed to: "permessage-deflate" or "".
        self.extensions: list[str] = []
        self.port = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem")
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Return when clients can connect to `port`."""
        self._thread.start()
        self._listening.wait()

    def stop(self) -> None:
        """Close all connections."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with serve(self._handle, "127.0.0.1", 0, ssl=self._context, max_size=None) as server:
            (listening,) = server.sockets
            self.port = int(listening.getsockname()[1])
            self._listening.set()
            await self._stopping.wait()

    @property
    def environment(self) -> dict[str, str]:
        """What makes SDKs and programs use this server."""
        return {
            "SSL_CERT_FILE": str(self.ca),
            "URL": f"wss://localhost:{self.port}",
            "OPENAI_BASE_URL": f"https://localhost:{self.port}/v1",
            "OPENAI_API_KEY": "none",
        }

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        realtime = "/realtime" in connection.request.path
        offer = connection.request.headers.get("Sec-WebSocket-Extensions", "")
        self.extensions.append(offer.partition(";")[0])
        try:
            if realtime:
                session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
                await self._say(connection, {"type": "session.created", "session": session})
            async for message in connection:
                self.received.append(message)
                request = json.loads(message)
                if request["type"] == "response.create":
                    await self._answer(connection, request, realtime=realtime)
        except ConnectionClosed:
            return  # Clients may leave as they like.

    async def _answer(self, connection: ServerConnection, request: Json, *, realtime: bool) -> None:
        number = len(self.sent)
        text = "".join(f"w{word:08d} " for word in range(int(request.get("max_tokens", 40))))
        head = {"id": f"resp_{number}", "object": "realtime.response" if realtime else "response"}
        await self._say(
            connection,
            {"type": "response.created", "response": {**head, "status": "in_progress"}},
        )
        size = len(text) // _PIECES + 1
        for at in range(0, len(text), size):
            delta: Json = {"type": "response.output_text.delta", "response_id": head["id"]}
            delta |= {"item_id": "item_1", "output_index": 0, "content_index": 0}
            await self._say(connection, {**delta, "delta": text[at : at + size]})
        content = [{"type": "output_text", "text": text}]
        item = {"id": f"item_{number}", "type": "message", "role": "assistant", "content": content}
        usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
        done: Json = {**head, "status": "completed", "output": [item], "usage": usage}
        if realtime:
            await self._say(connection, {"type": "response.done", "response": done})
        else:
            done["model"] = request["model"]
            await self._say(connection, {"type": "response.completed", "response": done})

    async def _say(self, connection: ServerConnection, value: Json) -> None:
        message = json.dumps({"event_id": f"event_{len(self.sent)}", **value})
        self.sent.append(message)
        await connection.send(message)


@contextmanager
def llm_websocket_server(folder: Path) -> Iterator[LlmWebSocketServer]:
    """Run a server whose certificate is made in `folder`."""
    one = LlmWebSocketServer(folder)
    one.start()
    try:
        yield one
    finally:
        one.stop()
