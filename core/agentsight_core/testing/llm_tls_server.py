"""A TLS server on loopback that answers like LLM vendors do and remembers every pair of bodies.

For tests that compare what was captured with what was said: `LlmTlsServer.pairs` is the truth, kept
by the other end of the connection. Must not know how anything is captured.
"""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# A request for this model gets the beginning of a stream and then nothing until the client leaves.
ENDLESS = "endless"
PIECES = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """One request and its answer, content coding undone; `complete`: it was sent to the end."""

    target: str
    request: bytes
    response: bytes
    complete: bool = True


def words(length: int) -> str:
    """Return `length` characters of which no stretch of 20 occurs twice."""
    count = length // 10 + 1
    return "".join(f"w{number:08d} " for number in range(count))[:length]


def answer(target: str, request: dict[str, Any]) -> list[bytes]:
    """Return the answer to `request`: one JSON text, or the events of a stream."""
    text = words(int(request.get("max_tokens") or 16))
    model = request.get("model", "none")
    chat = target.startswith("/v1/chat")
    if request.get("stream") and target.startswith("/v1/responses"):
        return _response_events(model, text)
    if request.get("stream"):
        return _chat_events(model, text) if chat else _message_events(model, text)
    whole = _chat(model, text) if chat else _message(model, text)
    return [json.dumps(whole).encode()]


class LlmTlsServer(ThreadingHTTPServer):
    """Serves Anthropic Messages, OpenAI Chat Completions and streams of OpenAI Responses.

    Anything else gets a JSON answer too.

    `max_tokens` of a request is how many characters its answer has.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        self.ca = make_certificate(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem")
        self.pairs: list[Pair] = []
        # Set when a stream without an end has begun.
        self.streaming = threading.Event()
        super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def url(self) -> str:
        """Where clients connect; its certificate is signed by `ca`."""
        return f"https://localhost:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes SDKs and programs use this server."""
        return {
            "SSL_CERT_FILE": str(self.ca),
            "NODE_EXTRA_CA_CERTS": str(self.ca),
            "URL": self.url,
            "PORT": str(self.server_port),
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "none",
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "none",
        }

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """Accept; the handshake comes with the first read, in the connection's own thread."""
        connection, address = super().get_request()
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are killed in some tests, and `pairs` shows what is missing."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: LlmTlsServer

    def do_GET(self) -> None:
        self._whole(b"", b'{"data": []}')

    def do_POST(self) -> None:
        data = self._read_body()
        request = json.loads(data)
        parts = answer(self.path, request)
        if request.get("stream"):
            self._stream(data, parts, endless=request.get("model") == ENDLESS)
            return
        self._whole(data, parts[0])

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _whole(self, request: bytes, response: bytes) -> None:
        self.server.pairs.append(Pair(self.path, request, response))
        zipped = "gzip" in self.headers.get("accept-encoding", "")
        coded = gzip.compress(response, 1) if zipped else response
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(coded)))
        if zipped:
            self.send_header("content-encoding", "gzip")
        self.end_headers()
        self.wfile.write(coded)

    def _stream(self, request: bytes, events: list[bytes], *, endless: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        kept = events[:-1] if endless else events
        self.server.pairs.append(Pair(self.path, request, b"".join(kept), complete=not endless))
        *chunks, last = [b"%x\r\n%b\r\n" % (len(event), event) for event in kept]
        for chunk in chunks:
            self.wfile.write(chunk)
        # The end comes with the last event: some clients read no further than that.
        self.wfile.write(last if endless else last + b"0\r\n\r\n")
        if endless:
            self.server.streaming.set()
            self.rfile.read(1)
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing: a test's output is its result."""


@contextmanager
def llm_tls_server(folder: Path) -> Iterator[LlmTlsServer]:
    """Run a server whose certificate is made in `folder`."""
    with LlmTlsServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def make_certificate(folder: Path) -> Path:
    """Write `ca.pem` and `server.pem` (with the key) for localhost; return the first."""
    ca, key, own = (folder / name for name in ("ca.pem", "key.pem", "own.pem"))
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    _openssl(*new, "-subj", "/CN=tests", "-keyout", folder / "ca-key.pem", "-out", ca)
    # rustls takes no certificate of an authority for one of a server.
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = [*names, "-addext", "basicConstraints=critical,CA:FALSE"]
    signed = ["-CA", str(ca), "-CAkey", str(folder / "ca-key.pem")]
    _openssl(*new, "-subj", "/CN=localhost", *kind, *signed, "-keyout", key, "-out", own)
    both = folder / "server.pem"
    both.touch(mode=0o600)
    both.write_bytes(key.read_bytes() + own.read_bytes())
    return ca


def _openssl(*words: str | Path) -> None:
    command = ["openssl", *map(str, words), "-days", "2"]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - fixed words


def _message(model: str, text: str) -> dict[str, Any]:
    return {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 7},
    }


def _message_events(model: str, text: str) -> list[bytes]:
    start = {**_message(model, ""), "content": [], "stop_reason": None}
    empty = {"type": "text", "text": ""}
    block = {"type": "content_block_start", "index": 0, "content_block": empty}
    deltas = [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": part},
        }
        for part in _parts(text)
    ]
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        block,
        *deltas,
        {"type": "content_block_stop", "index": 0},
        {**end, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]


def _chat(model: str, text: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{**choice, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def _chat_events(model: str, text: str) -> list[bytes]:
    head = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": 1, "model": model}
    events = [
        {**head, "choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]}
        for part in _parts(text)
    ]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    lines = [f"data: {json.dumps(event)}\n\n".encode() for event in events]
    return [*lines, b"data: [DONE]\n\n"]


def _response_events(model: str, text: str) -> list[bytes]:
    response = {"id": "resp_test", "object": "response", "model": model}
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"id": "msg_test", "type": "message", "role": "assistant", "content": content}
    usage = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]


def _parts(text: str) -> list[str]:
    size = max(1, -(-len(text) // PIECES))
    return [text[at : at + size] for at in range(0, len(text), size)]
