"""One HTTP request and its response, whole: what `streams` builds and `providers` reads."""

from __future__ import annotations

import msgspec

Headers = tuple[tuple[str, str], ...]


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A finished HTTP exchange; all times are Unix ns, 0 where something never happened."""

    session: int
    pid: int
    # (connection, index) is unique within a session.
    connection: int
    index: int

    start_ns: int
    request_end_ns: int
    response_start_ns: int
    end_ns: int

    method: str
    scheme: str
    # Host header: "api.anthropic.com", "localhost:8443"
    authority: str
    # Path and query as on the wire.
    target: str
    # Names in lower case, in wire order.
    request_headers: Headers
    # Content coding undone.
    request_body: bytes
    # 0 when no response arrived.
    status: int
    response_headers: Headers
    response_body: bytes
    # (offset in response_body, arrival): which bytes arrived when.
    response_pieces: tuple[tuple[int, int], ...]

    # False: aborted, malformed, with missing bytes, or cut at the cap; `problem` says how.
    complete: bool
    problem: str = ""
    # One call within a WebSocket: the bodies are its messages, each answer one on a line.
    is_websocket: bool = False
    peer_address: str = ""
    peer_port: int = 0

    def request_header(self, name: str) -> str:
        """Return the first request header called `name` (lower case), or ""."""
        return next((value for key, value in self.request_headers if key == name), "")

    def response_header(self, name: str) -> str:
        """Return the first response header called `name` (lower case), or ""."""
        return next((value for key, value in self.response_headers if key == name), "")
