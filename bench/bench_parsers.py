"""How many MB/s the parsers take: `python bench/bench_parsers.py`.

Runs of 16 KiB to 4 MiB as the drain gives them; the ratio is to a bare copy of the same bytes.
"""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable

from agentsight_core.parsers.conversation import Conversation
from agentsight_core.parsers.http1 import HttpConnection
from agentsight_core.parsers.ndjson import JsonStreamParser
from agentsight_core.parsers.sse import SseParser

RUN_BYTES = 4 * 1024 * 1024
RECORD_BYTES = 16 * 1024
ROUNDS = 5
GET = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
EVENT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":" and so it goes"}}\n\n'
)


def best_seconds(work: Callable[[], object]) -> float:
    """Return the shortest of ROUNDS runs."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def http(stream: bytes, record_bytes: int, run_bytes: int) -> Callable[[], object]:
    """Return work that feeds `stream` in runs that are made of records."""

    def work() -> None:
        connection = HttpConnection()
        connection.feed(True, GET, (0,), (0,))
        for start in range(0, len(stream), run_bytes):
            run = stream[start : start + run_bytes]
            offsets = range(0, len(run), record_bytes)
            connection.feed(False, run, offsets, offsets)
        assert connection.bytes_parsed == len(stream) + len(GET)

    return work


H2_HEAD = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
# GET / by the static table; 200 with 0x88.
H2_GET = bytes([0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x87])
H2_OK = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88])
WS_GET = b"GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n"
WS_OK = b"HTTP/1.1 101 S\r\nupgrade: websocket\r\n"
DEFLATE = b"sec-websocket-extensions: permessage-deflate\r\n"


def conversation(asked: bytes, stream: bytes, run_bytes: int) -> Callable[[], object]:
    """Return work that feeds `stream`, the answer to `asked`, in runs."""

    def work() -> None:
        connection = Conversation()
        connection.feed(True, asked, (0,), (0,))
        for start in range(0, len(stream), run_bytes):
            run = stream[start : start + run_bytes]
            offsets = range(0, len(run), RECORD_BYTES)
            connection.feed(False, run, offsets, offsets)
        assert connection.bytes_parsed == len(stream) + len(asked)

    return work


def h2_data(data: bytes, frame_bytes: int) -> bytes:
    """Return `data` as a response of HTTP/2."""
    out = [H2_OK]
    for start in range(0, len(data), frame_bytes):
        part = data[start : start + frame_bytes]
        out += [len(part).to_bytes(3, "big"), b"\0\0\0\0\0\1", part]
    return b"".join(out)


def websocket(data: bytes, message_bytes: int, *, deflate: bool) -> bytes:
    """Return `data` as messages of a server."""
    out = [WS_OK, DEFLATE if deflate else b"", b"\r\n"]
    deflater = zlib.compressobj(wbits=-15)
    for start in range(0, len(data), message_bytes):
        part = data[start : start + message_bytes]
        if deflate:
            part = (deflater.compress(part) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        size = len(part)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        out += [b"\xc1" if deflate else b"\x81", length, part]
    return b"".join(out)


def body(parser: Callable[[], SseParser | JsonStreamParser], stream: bytes) -> Callable[[], object]:
    """Return work that feeds `stream` in runs of 16 KiB."""

    def work() -> None:
        one = parser()
        for start in range(0, len(stream), RECORD_BYTES):
            one.feed(stream[start : start + RECORD_BYTES])

    return work


def chunked(head: bytes, data: bytes, chunk_bytes: int) -> bytes:
    """Return `data` as a chunked response."""
    chunks = (data[n : n + chunk_bytes] for n in range(0, len(data), chunk_bytes))
    return head + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def main() -> None:
    events = EVENT * (RUN_BYTES // len(EVENT))
    plain = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % RUN_BYTES + bytes(RUN_BYTES)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    stream = chunked(head, events, len(EVENT))
    packed = gzip.compress(events)
    coded = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    lines = (json.dumps({"model": "m", "response": " and so it goes"}) + "\n").encode() * 40_000
    array = b"[" + lines.replace(b"\n", b"\n,\n") + b"1]"
    token = len(EVENT) + 6
    copy = best_seconds(lambda: bytearray(plain)) / len(plain)
    for name, size, work in (
        ("content-length, runs of 4 MiB", len(plain), http(plain, RECORD_BYTES, RUN_BYTES)),
        ("content-length, runs of 16 KiB", len(plain), http(plain, RECORD_BYTES, RECORD_BYTES)),
        ("chunk a token, runs of 4 MiB", len(stream), http(stream, token, RUN_BYTES)),
        ("chunk a token, runs of 16 KiB", len(stream), http(stream, token, RECORD_BYTES)),
        ("chunk a token, a run a token", len(stream), http(stream, token, token)),
        (
            "gzip (decoded bytes)",
            len(events),
            http(coded % len(packed) + packed, RECORD_BYTES, RECORD_BYTES),
        ),
        (
            "HTTP/2, DATA of 16 KiB, runs of 4 MiB",
            len(h2_data(plain, RECORD_BYTES)),
            conversation(H2_HEAD + H2_GET, h2_data(plain, RECORD_BYTES), RUN_BYTES),
        ),
        (
            "HTTP/2, DATA of 16 KiB, runs of 16 KiB",
            len(h2_data(plain, RECORD_BYTES)),
            conversation(H2_HEAD + H2_GET, h2_data(plain, RECORD_BYTES), RECORD_BYTES),
        ),
        (
            "HTTP/2, a frame a token, runs of 16 KiB",
            len(h2_data(events, len(EVENT))),
            conversation(H2_HEAD + H2_GET, h2_data(events, len(EVENT)), RECORD_BYTES),
        ),
        (
            "WebSocket, 4 KiB, runs of 16 KiB",
            len(websocket(events, 4096, deflate=False)),
            conversation(WS_GET, websocket(events, 4096, deflate=False), RECORD_BYTES),
        ),
        (
            "WebSocket, deflated (decoded bytes)",
            len(events),
            conversation(WS_GET, websocket(events, 4096, deflate=True), RECORD_BYTES),
        ),
        ("SSE", len(events), body(SseParser, events)),
        ("JSON lines", len(lines), body(JsonStreamParser, lines)),
        ("JSON array", len(array), body(JsonStreamParser, array)),
    ):
        seconds = best_seconds(work)
        print(f"{name:40} {size / seconds / 1e6:9.1f} MB/s  {seconds / size / copy:8.1f} x a copy")


if __name__ == "__main__":
    main()
