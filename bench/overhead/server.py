"""The TLS server of the measurements: an LLM that streams, an echo, and plain answers.

    python server.py CERTIFICATE       prints its port, serves until its input ends

Uses the standard library only and is no part of what is measured: it is watched by nobody.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import threading
import time
from typing import BinaryIO

# An echo has no end: the client closes the connection.
ENDLESS_BYTES = 1 << 40
_PLAIN = b'{"data": "' + b"x" * 1024 + b'"}'


def main(certificate: str) -> None:
    """Serve until the standard input ends."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
    sys.stdin.read()


def _accept(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        plain, _ = listener.accept()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secured = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=_serve, args=(secured,), daemon=True).start()


def _serve(connection: ssl.SSLSocket) -> None:
    with connection, connection.makefile("rb") as reader:
        while line := reader.readline():
            path = line.split()[1]
            headers = dict(_headers(reader))
            if path.startswith(b"/echo/"):
                _echo(connection, reader, int(path.rpartition(b"/")[2]))
                return
            body = reader.read(int(headers.get(b"content-length", b"0")))
            if path == b"/v1/messages":
                _stream(connection, json.loads(body))
            else:
                _answer(connection, b"content-type: application/json", _PLAIN)


def _headers(reader: BinaryIO) -> list[tuple[bytes, bytes]]:
    found = []
    while line := reader.readline().strip():
        name, _, value = line.partition(b":")
        found.append((name.lower(), value.strip()))
    return found


def _answer(connection: ssl.SSLSocket, kind: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n%b\r\ncontent-length: %d\r\n\r\n" % (kind, len(body))
    connection.sendall(head + body)


def _echo(connection: ssl.SSLSocket, reader: BinaryIO, size: int) -> None:
    """Give every `size` bytes back."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
    connection.sendall(head + b"content-length: %d\r\n\r\n" % ENDLESS_BYTES)
    while len(data := reader.read(size)) == size:
        connection.sendall(data)


def _stream(connection: ssl.SSLSocket, request: dict[str, int]) -> None:
    """Answer with `max_tokens` events, one every `pause_us`."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    pause_s = request["pause_us"] / 1e6
    due = time.monotonic()
    for number in range(request["max_tokens"]):
        delta = {"type": "text_delta", "text": f" and then comes part number {number}"}
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        data = b"event: content_block_delta\ndata: %b\n\n" % json.dumps(event).encode()
        connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))
        due += pause_s
        time.sleep(max(0.0, due - time.monotonic()))
    connection.sendall(b"0\r\n\r\n")


if __name__ == "__main__":
    main(sys.argv[1])
