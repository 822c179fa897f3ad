#!/usr/bin/env python3
"""A TLS server that speaks like LLM vendors do and answers from scenario files.

It knows Anthropic Messages, OpenAI Chat Completions and Responses, streaming and not. What it says
depends only on the request (and, for failures that a client is expected to retry, on how often it
was asked): the conversation picks the scenario, the number of answers so far the step.

    llm_server.py --scenarios examples/scenarios --folder /tmp/x     writes /tmp/x/ca.pem

The first line on stdout is the address. It ends with SIGTERM or when stdin is closed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import ssl
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

from certificates import make_certificates
from llm_formats import anthropic_messages, openai_chat, openai_responses
from llm_formats.scenario import (
    Answer,
    Failure,
    Piece,
    Request,
    Scenario,
    Scenarios,
    read_scenarios,
)

FORMATS: dict[str, ModuleType] = {
    module.PATH: module for module in (anthropic_messages, openai_chat, openai_responses)
}
MAX_BODY_BYTES = 16 * 1024 * 1024


class LlmServer(ThreadingHTTPServer):
    """Accepts TLS connections on 127.0.0.1; a thread for each."""

    daemon_threads = True

    def __init__(self, scenarios: Scenarios, certificate: Path, port: int = 0) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.scenarios = scenarios
        self._lock = threading.Lock()
        self._asked: Counter[tuple[str, int]] = Counter()
        self._numbers = 0
        super().__init__(("127.0.0.1", port), LlmConnection)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """Accept a connection; the handshake comes with the first read, in its own thread."""
        connection, address = super().get_request()
        wrapped = self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def number(self) -> int:
        """Return 1, 2, 3… for ids."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def failure(self, scenario: Scenario, step: int) -> Failure | None:
        """Return the failure that this request of a step has to meet, if there is one left."""
        with self._lock:
            asked = self._asked[scenario.name, step]
            self._asked[scenario.name, step] += 1
        failures = scenario.steps[step].failures
        return failures[asked] if asked < len(failures) else None


class LlmConnection(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: LlmServer
    # A head goes out with its body, each event of a stream by itself and at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer one request."""
        length = int(self.headers.get("content-length") or 0)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            self.send_error(413)
            return
        body = self.rfile.read(length)
        form = FORMATS.get(self.path.partition("?")[0])
        if form is None:
            self._send_json(404, {"error": {"message": f"no such path: {self.path}"}}, {})
            return
        number = self.server.number()
        headers = {form.REQUEST_ID_HEADER: f"{form.REQUEST_ID_PREFIX}{number:024d}"}
        try:
            request: Request = form.read_request(json.loads(body))
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            bad = Failure(400, "invalid_request_error", f"cannot read the request: {error!r}")
            self._fail(form, bad, headers)
            return
        scenario = self.server.scenarios.find(form.API, request)
        if scenario is None or request.answers >= len(scenario.steps):
            unknown = Failure(400, "invalid_request_error", "no scenario has this conversation")
            self._fail(form, unknown, headers)
        elif failure := self.server.failure(scenario, request.answers):
            self._fail(form, failure, headers)
        else:
            answer = Answer(
                id=f"{form.ANSWER_ID_PREFIX}{number:024d}",
                model=scenario.response_model,
                step=scenario.steps[request.answers],
                created_s=int(time.time()),
                include_usage=request.include_usage,
            )
            self._answer(form, answer, request, headers)

    def _answer(
        self, form: ModuleType, answer: Answer, request: Request, headers: dict[str, str]
    ) -> None:
        if not request.stream:
            time.sleep(answer.step.first_token_ms / 1000)
            self._send_json(200, form.whole(answer), headers)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("cache-control", "no-cache")
        self.send_header("transfer-encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        piece: Piece
        for piece in form.events(answer):
            time.sleep(piece.pause_ms / 1000)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece.data), piece.data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _fail(self, form: ModuleType, failure: Failure, headers: dict[str, str]) -> None:
        if failure.retry_after_ms:
            headers["retry-after-ms"] = str(failure.retry_after_ms)
            headers["retry-after"] = str(-(-failure.retry_after_ms // 1000))
        request_id = headers[form.REQUEST_ID_HEADER]
        self._send_json(failure.status, form.failure(failure, request_id), headers)

    def _send_json(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        if "gzip" in (self.headers.get("accept-encoding") or ""):
            data = gzip.compress(data, mtime=0)
            headers["content-encoding"] = "gzip"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's signature
        """Stay quiet: the address is the only thing that this server says."""


def main() -> int:
    """Serve until stdin is closed; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=Path, required=True, help="folder of scenario files")
    parser.add_argument("--folder", type=Path, required=True, help="where ca.pem is written")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes a free one")
    arguments = parser.parse_args()
    _, certificate = make_certificates(arguments.folder)
    server = LlmServer(read_scenarios(arguments.scenarios), certificate, arguments.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"https://localhost:{server.server_port}", flush=True)
    sys.stdin.read()
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
