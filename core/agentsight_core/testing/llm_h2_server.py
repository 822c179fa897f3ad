"""A TLS server on loopback that answers like LLM vendors do, over HTTP/2, and echoes gRPC messages.

The frames are made by the `h2` library, so they are not those of our parser. `pairs` is the truth,
kept by the other end of the connection. Must not know how anything is captured.
"""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from agentsight_core.testing.llm_tls_server import Pair, answer, make_certificate

_READ_BYTES = 64 * 1024


class LlmH2Server(socketserver.ThreadingTCPServer):
    """Serves what `LlmTlsServer` does to clients that speak HTTP/2."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path) -> None:
        self.ca = make_certificate(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "server.pem")
        self._context.set_alpn_protocols(["h2"])
        self.pairs: list[Pair] = []
        self.connections = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Where clients connect; its certificate is signed by `ca`."""
        return f"https://localhost:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes SDKs and programs use this server."""
        return {
            "SSL_CERT_FILE": str(self.ca),
            "NODE_EXTRA_CA_CERTS": str(self.ca),
            "URL": self.url,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "none",
        }

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept; the handshake comes with the first read, in the connection's own thread."""
        connection, address = super().get_request()
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients may leave as they like, and `pairs` shows what is missing."""


class _Handler(socketserver.BaseRequestHandler):
    server: LlmH2Server

    def handle(self) -> None:
        self.server.connections += 1
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._h2.initiate_connection()
        self._flush()
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        # Parts of answers that flow control holds back.
        self._queues: dict[int, list[bytes]] = {}
        while data := self.request.recv(_READ_BYTES):
            for event in self._h2.receive_data(data):
                self._take(event)
            for stream in list(self._queues):
                self._send(stream)
            self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {str(name): str(value) for name, value in event.headers}
            self._requests[event.stream_id] = (headers, bytearray())
        elif isinstance(event, h2.events.DataReceived):
            self._requests[event.stream_id][1].extend(event.data)
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._answer(event.stream_id)

    def _answer(self, stream: int) -> None:
        headers, body = self._requests[stream]
        data, target = bytes(body), headers[":path"]
        grpc = _is_grpc(headers)
        request = {} if grpc or not data else json.loads(data)
        parts = [data] if grpc else answer(target, request)
        kind = "text/event-stream" if request.get("stream") else "application/json"
        self.server.pairs.append(Pair(target, data, b"".join(parts)))
        head = [(":status", "200"), ("content-type", "application/grpc" if grpc else kind)]
        self._h2.send_headers(stream, head)
        self._queues[stream] = parts

    def _send(self, stream: int) -> None:
        """Send as much of an answer as flow control allows, each part a frame or more."""
        queue = self._queues[stream]
        trailers = _is_grpc(self._requests[stream][0])
        while queue:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            part, queue[0] = queue[0][:room], queue[0][room:]
            if not queue[0]:
                del queue[0]
            # The end comes with the last event: some clients read no further than that.
            self._h2.send_data(stream, part, end_stream=not queue and not trailers)
            self._flush()
        del self._queues[stream]
        if trailers:
            self._h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self.request.sendall(data)


def _is_grpc(headers: dict[str, str]) -> bool:
    return headers.get("content-type", "").startswith("application/grpc")


@contextmanager
def llm_h2_server(folder: Path) -> Iterator[LlmH2Server]:
    """Run a server whose certificate is made in `folder`."""
    with LlmH2Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
