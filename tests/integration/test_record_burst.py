"""A burst under `agentsight record`: 100,000 TLS calls, and the ledger closes to the byte."""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agentsight_core.testing.llm_tls_server import make_certificate
from agentsight_core.testing.recorded_run import record

pytestmark = [pytest.mark.kernel, pytest.mark.server]

PAIRS = 50_000
ANSWER_BODY = b'{"model": "gpt-test", "choices": []}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER_BODY), ANSWER_BODY)

# Writes each request with one SSL_write and reads each answer with one SSL_read, 50 requests at a
# time; at the end it says how many bytes went each way.
CLIENT = f"""
import json, socket, ssl, sys
port, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
plain = socket.create_connection(("127.0.0.1", int(port)))
client = context.wrap_socket(plain, server_hostname="localhost")
head = b"POST /v1/chat/completions HTTP/1.1\\r\\nhost: api.openai.com\\r\\n"
head += b"content-length: 32\\r\\n\\r\\n"
written = read = 0
for first in range(0, {PAIRS}, 50):
    for number in range(first, first + 50):
        client.sendall(head + b'{{"model": "gpt", "n": %9d}}' % number)
    written += 50 * (len(head) + 32)
    while read < (first + 50) * {len(ANSWER)}:
        read += len(client.recv(16384))
print(json.dumps({{"written": written, "read": read}}))
"""


@contextmanager
def answering(folder: Path) -> Iterator[int]:
    """Answer every request of one connection with an SSL_write of its own; gives the port."""
    make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    def serve() -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as client:
            answered, waiting = 0, b""
            while answered < PAIRS:
                waiting += client.recv(65536)
                *requests, waiting = waiting.split(b"}")
                for _ in requests:
                    client.sendall(ANSWER)
                answered += len(requests)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


# It takes half a minute alone, and other tests may run beside it.
@pytest.mark.timeout(300)
def test_every_call_of_a_burst_is_recorded_or_declared_lost(tmp_path: Path) -> None:
    with answering(tmp_path) as port:
        command = [sys.executable, "-c", CLIENT, str(port), str(tmp_path / "ca.pem")]
        run = record(command, tmp_path, analyze=False)
    assert run.exit_status == 0, run.stderr
    said = json.loads(run.stdout)

    tls = run.ledger["tls"]
    assert tls["received"] == said["written"] + said["read"]
    assert all(stage["unexplained"] == stage["held"] == 0 for stage in run.ledger.values())
    kernel = run.ledger["kernel"]
    assert kernel["emitted"] == run.ledger["drain"]["received"]

    found = [exchange for exchange in run.exchanges() if exchange.request_body]
    numbers = [json.loads(exchange.request_body)["n"] for exchange in found]
    assert numbers == sorted(set(numbers))
    missing = PAIRS - len(numbers)
    answered = sum(exchange.response_body == ANSWER_BODY for exchange in found)
    lost = sum(tls["dropped"].values())
    if lost:
        # What is missing is not more than what was declared.
        assert missing * 32 + (PAIRS - answered) * len(ANSWER_BODY) <= lost
    else:
        assert (missing, answered) == (0, PAIRS)
    told = sum(e.lost.count for e in run.events if e.lost.stage == "tls")
    assert told == lost
