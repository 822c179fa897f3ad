"""JSON-RPC over a byte stream: lines, gaps, bounds, and what is left without content."""

from __future__ import annotations

import json

from agentsight_core.parsers.jsonrpc import LineSplitter, envelope, is_message
from hypothesis import given
from hypothesis import strategies as st

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


def test_a_line_may_come_in_parts_and_has_the_time_of_its_end() -> None:
    splitter = LineSplitter()
    assert splitter.feed(PING[:10], (0,), (5,)) == []
    assert splitter.held_bytes == 10
    (line, second) = splitter.feed(PING[10:] + b"\n[]\r\n", (0, 31), (6, 7))
    assert (line.data, line.size, line.time_ns) == (PING, len(PING) + 1, 6)
    assert (second.data, second.size, second.time_ns) == (b"[]", 4, 7)


def test_the_last_line_needs_no_end() -> None:
    splitter = LineSplitter()
    splitter.feed(PING, (0,), (1,))
    (line,) = splitter.close(9)
    assert (line.data, line.size, line.time_ns) == (PING, len(PING), 9)
    assert splitter.held_bytes == 0


def test_a_line_that_is_too_long_is_told_without_content() -> None:
    splitter = LineSplitter(max_line_bytes=50)
    splitter.feed(b"x" * 40, (0,), (1,))
    splitter.feed(b"x" * 40, (0,), (1,))
    assert splitter.held_bytes == 0
    (long, line) = splitter.feed(b"x\n" + PING + b"\n", (0,), (1,))
    assert (long.data, long.size) == (b"", 82)
    assert line.data == PING
    assert splitter.skipped == {"too long": 82}


def test_a_gap_is_told_with_the_line_behind_it() -> None:
    splitter = LineSplitter()
    splitter.feed(PING[:10], (0,), (1,))
    (rest, line) = splitter.feed(b'ping"}\n' + PING + b"\n", (0,), (1,), lost=24)
    assert (rest.lost_bytes, line.lost_bytes) == (24, 0)
    assert line.data == PING
    assert splitter.skipped == {"cut by a gap": 10}


def test_only_version_2_is_a_message() -> None:
    assert is_message(PING)
    assert is_message(b"[" + PING + b"," + PING + b"]")
    for other in (b"", b"[]", b"{}", b"[1]", b'{"jsonrpc":"1.0"}', b"ready", b'{"jsonrpc":2}'):
        assert not is_message(other)
    assert not is_message(b"[" * 100_000)


def test_an_envelope_has_names_but_no_content() -> None:
    call = {
        "jsonrpc": "2.0",
        "id": "a",
        "method": "tools/call",
        "params": {"name": "read", "arguments": {"path": "/secret"}, "_meta": {"x": "secret"}},
    }
    kept = json.loads(envelope(json.dumps(call).encode()))
    assert kept == {**call, "params": {"name": "read"}}
    answer = {"jsonrpc": "2.0", "id": 1, "result": {"isError": True, "content": ["secret"]}}
    assert json.loads(envelope(json.dumps([answer]).encode())) == [
        {**answer, "result": {"isError": True}}
    ]
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "secret"}}
    assert b"secret" not in envelope(json.dumps(error).encode())
    assert envelope(b"secret") == b""


@given(
    st.lists(st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"")), max_size=8),
    st.lists(st.integers(1, 30), min_size=1, max_size=10),
)
def test_any_cutting_gives_the_same_lines_and_every_byte_is_counted(
    lines: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter(max_line_bytes=40)
    found = []
    position = turn = 0
    while position < len(stream):
        part = stream[position : position + sizes[turn % len(sizes)]]
        found += splitter.feed(part, (0,), (turn,))
        assert splitter.held_bytes <= 40
        position += len(part)
        turn += 1
        counted = splitter.bytes_out + sum(splitter.skipped.values()) + splitter.held_bytes
        assert splitter.bytes_in == position == counted
    kept = [line if len(line) <= 40 else b"" for line in lines if line.strip() or len(line) > 40]
    assert [line.data for line in found] == [line.strip() for line in kept]
