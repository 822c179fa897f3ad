"""A TLS server on loopback that answers over WebSocket as OpenAI's Responses and Realtime APIs do.

The frames are made by the `websockets` library, compression included. `received` and `sent` are the
truth, kept by the other end of the connection. Must not know how anything is captured.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

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
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        self.server: Server = serve(self._handle, "127.0.0.1", 0, ssl=context, max_size=None)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self.server.socket.getsockname()[1])

    @property
    def environment(self) -> dict[str, str]:
        """What makes SDKs and programs use this server."""
        return {
            "SSL_CERT_FILE": str(self.ca),
            "URL": f"wss://localhost:{self.port}",
            "OPENAI_BASE_URL": f"https://localhost:{self.port}/v1",
            "OPENAI_API_KEY": "none",
        }

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        realtime = "/realtime" in connection.request.path
        offer = connection.request.headers.get("Sec-WebSocket-Extensions", "")
        self.extensions.append(offer.partition(";")[0])
        try:
            if realtime:
                session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
                self._say(connection, {"type": "session.created", "session": session})
            for message in connection:
                self.received.append(message)
                request = json.loads(message)
                if request["type"] == "response.create":
                    self._answer(connection, request, realtime=realtime)
        except ConnectionClosed:
            return  # Clients may leave as they like.

    def _answer(self, connection: ServerConnection, request: Json, *, realtime: bool) -> None:
        number = len(self.sent)
        text = "".join(f"w{word:08d} " for word in range(int(request.get("max_tokens", 40))))
        head = {"id": f"resp_{number}", "object": "realtime.response" if realtime else "response"}
        self._say(
            connection,
            {"type": "response.created", "response": {**head, "status": "in_progress"}},
        )
        size = len(text) // _PIECES + 1
        for at in range(0, len(text), size):
            delta: Json = {"type": "response.output_text.delta", "response_id": head["id"]}
            delta |= {"item_id": "item_1", "output_index": 0, "content_index": 0}
            self._say(connection, {**delta, "delta": text[at : at + size]})
        content = [{"type": "output_text", "text": text}]
        item = {"id": f"item_{number}", "type": "message", "role": "assistant", "content": content}
        usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
        done: Json = {**head, "status": "completed", "output": [item], "usage": usage}
        if realtime:
            self._say(connection, {"type": "response.done", "response": done})
        else:
            done["model"] = request["model"]
            self._say(connection, {"type": "response.completed", "response": done})

    def _say(self, connection: ServerConnection, value: Json) -> None:
        message = json.dumps({"event_id": f"event_{len(self.sent)}", **value})
        self.sent.append(message)
        connection.send(message)


@contextmanager
def llm_websocket_server(folder: Path) -> Iterator[LlmWebSocketServer]:
    """Run a server whose certificate is made in `folder`."""
    one = LlmWebSocketServer(folder)
    thread = threading.Thread(target=one.server.serve_forever)
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        thread.join()
