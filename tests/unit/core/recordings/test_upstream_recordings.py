"""JSON lines of upstream AgentSight: TLS records, parsed messages, merged streams, processes."""

from __future__ import annotations

import contextlib
import gzip
import json

import pytest
from agentsight_core.errors import ConfigError
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.upstream import looks_like_upstream, read_upstream
from agentsight_core.recordings.upstream_text import parse_line, payload
from agentsight_core.testing.wrong_values import every_wrong

BOOT_NS = 5_000_000_000
UNIX_MS = 1_790_000_000_000
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Grüße 東京"}]}).encode()
REQUEST = (
    b"POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\ncontent-length: %d\r\n\r\n%b"
    % (
        len(BODY),
        BODY,
    )
)
ANSWER = b'{"id":"msg_1","text":"Gr\xc3\xbc\xc3\x9fe"}'


def response(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def as_sslsniff(data: bytes) -> str:
    """Return `data` inside of a JSON string as bpf/sslsniff.c writes it."""
    out = ""
    at = 0
    while at < len(data):
        for length in (4, 3, 2):
            try:
                char = data[at : at + length].decode()
            except UnicodeDecodeError:
                continue
            if len(char) == 1 and char.isprintable() and not char.isascii():
                out += char
                at += length
                break
        else:
            byte = data[at]
            out += json.dumps(chr(byte))[1:-1] if byte < 0x80 else f"\\u{byte:04x}"
            at += 1
    return out


def raw(
    function: str, data: bytes, time_ns: int, pid: int = 7, tid: int = 7, lost: int = 0
) -> bytes:
    return (
        f'{{"function":"{function}","timestamp_ns":{time_ns},"comm":"claude","pid":{pid},'
        f'"len":{len(data) + lost},"tid":{tid},"is_handshake":false,"data":"{as_sslsniff(data)}",'
        f'"truncated":{"true" if lost else "false"},"bytes_lost":{lost}}}'
    ).encode()


def wrapped(line: bytes, unix_ms: int | None = None) -> bytes:
    """Return a raw line as the collector writes it again."""
    data = json.loads(line)
    outer = {
        "timestamp": data["timestamp_ns"] if unix_ms is None else unix_ms,
        "source": "ssl",
        "pid": data["pid"],
        "comm": data["comm"],
        "data": data,
    }
    return json.dumps(outer, ensure_ascii=False).encode()


def parsed(kind: str, time: int, **data: object) -> bytes:
    data = {"message_type": kind, "tid": 7, **data}
    outer = {"timestamp": time, "source": "http_parser", "pid": 7, "comm": "claude", "data": data}
    return json.dumps(outer).encode()


def read(*lines: bytes) -> list[pb.Event]:
    return list(read_upstream(b"\n".join(lines), source="test.jsonl"))


def bodies(events: list[pb.Event], direction: pb.Direction) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for event in events:
        body = event.http_body
        if event.WhichOneof("body") == "http_body" and body.direction == direction:
            found[body.connection] = found.get(body.connection, b"") + body.data
    return found


def answers(events: list[pb.Event]) -> list[bytes]:
    return list(bodies(events, pb.DIRECTION_RESPONSE).values())


def outcomes(events: list[pb.Event]) -> list[int]:
    return [
        event.http_finished.outcome
        for event in events
        if event.WhichOneof("body") == "http_finished"
    ]


@pytest.mark.parametrize("form", ["raw", "wrapped"])
def test_bytes_come_out_of_text_as_they_were(form: str) -> None:
    zipped = gzip.compress(ANSWER * 20, mtime=0)
    lines = [
        raw("WRITE/SEND", REQUEST, BOOT_NS),
        raw("READ/RECV", response(zipped, b"content-encoding: gzip"), BOOT_NS + 10**9),
    ]
    events = read(*(lines if form == "raw" else map(wrapped, lines)))
    assert list(bodies(events, pb.DIRECTION_REQUEST).values()) == [BODY]
    if form == "raw":
        assert answers(events) == [ANSWER * 20]
        assert outcomes(events) == [pb.HTTP_OUTCOME_COMPLETE]


def test_every_byte_survives_the_way_of_raw_lines() -> None:
    data = bytes(range(256)) * 3 + "東京 😀".encode()
    events = read(
        raw("WRITE/SEND", REQUEST, BOOT_NS), raw("READ/RECV", response(data), BOOT_NS + 5)
    )
    assert answers(events) == [data]


def test_text_of_the_collector_is_utf_8_and_its_escapes_are_bytes() -> None:
    for body in (ANSWER, b"\xff\xfe\x80 no text"):
        lines = [
            raw("WRITE/SEND", REQUEST, BOOT_NS),
            raw("READ/RECV", response(body), BOOT_NS + 5),
        ]
        assert answers(read(*map(wrapped, lines))) == [body]


def test_hexadecimal_of_the_log_file() -> None:
    line = json.loads(wrapped(raw("READ/RECV", response(b"a\x00b"), BOOT_NS + 5)))
    line["data"]["data"] = "HEX:" + response(b"a\x00b").hex()
    events = read(raw("WRITE/SEND", REQUEST, BOOT_NS), json.dumps(line).encode())
    assert answers(events) == [b"a\x00b"]


def test_without_a_length_text_is_characters_and_gzip_is_bytes() -> None:
    zipped = b"\x1f\x8b\x08\x00\xff\xe9\x80"
    assert payload(parsed_text(zipped.decode("latin-1")), None) == zipped
    assert payload(parsed_text("é\xff"), None) == "é\xff".encode()


def parsed_text(text: str) -> str:
    value = parse_line(json.dumps(text).encode())
    assert isinstance(value, str)
    return value


def test_times_are_those_of_the_records() -> None:
    lines = [
        wrapped(raw("WRITE/SEND", REQUEST, BOOT_NS), UNIX_MS),
        wrapped(raw("READ/RECV", response(ANSWER), BOOT_NS + 1_500_000_000), UNIX_MS + 1500),
    ]
    events = read(*lines)
    start = next(event for event in events if event.WhichOneof("body") == "http_request_started")
    answer = next(event for event in events if event.WhichOneof("body") == "http_response_started")
    assert start.wall_ns == UNIX_MS * 1_000_000
    assert answer.wall_ns - start.wall_ns == 1_500_000_000


def test_two_requests_of_one_thread_at_the_same_time_are_two_connections() -> None:
    events = read(
        raw("WRITE/SEND", REQUEST, 1),
        raw("WRITE/SEND", REQUEST, 2),
        raw("READ/RECV", response(b"first"), 3),
        raw("READ/RECV", response(b"second"), 4),
        raw("WRITE/SEND", REQUEST, 5),
        raw("READ/RECV", response(b"third"), 6),
    )
    found = bodies(events, pb.DIRECTION_RESPONSE)
    assert list(found.values()) == [b"firstthird", b"second"]
    assert outcomes(events) == [pb.HTTP_OUTCOME_COMPLETE] * 3


def test_missing_bytes_are_a_gap_of_known_size() -> None:
    whole = response(b"x" * 1000)
    events = read(raw("WRITE/SEND", REQUEST, 1), raw("READ/RECV", whole[:-400], 2, lost=400))
    finished = next(e.http_finished for e in events if e.WhichOneof("body") == "http_finished")
    assert finished.outcome == pb.HTTP_OUTCOME_GAP
    assert finished.lost_bytes == 400


def test_data_that_was_not_captured_is_a_gap_too() -> None:
    line = json.loads(raw("READ/RECV", b"", 2))
    line.update(data=None, len=5)
    events = read(
        raw("WRITE/SEND", REQUEST, 1),
        raw("READ/RECV", response(b"0123456789")[:-5], 2),
        json.dumps(line).encode(),
    )
    assert outcomes(events) == [pb.HTTP_OUTCOME_GAP]


def test_parsed_messages_make_an_exchange() -> None:
    events = read(
        parsed(
            "request",
            UNIX_MS,
            first_line="POST /v1/messages HTTP/1.1",
            method="POST",
            path="/v1/messages",
            headers={"host": "api.anthropic.com", "content-length": str(len(BODY))},
            body=BODY.decode(),
        ),
        parsed(
            "response",
            UNIX_MS + 800,
            status_code=200,
            status_text="OK",
            # The collector decoded the body and left the head as it was.
            headers={"content-encoding": "gzip", "transfer-encoding": "chunked"},
            body=ANSWER.decode(),
        ),
    )
    request = next(e for e in events if e.WhichOneof("body") == "http_request_started")
    assert request.http_request_started.authority == "api.anthropic.com"
    assert request.wall_ns == UNIX_MS * 1_000_000
    assert list(bodies(events, pb.DIRECTION_REQUEST).values()) == [BODY]
    assert answers(events) == [ANSWER]
    assert outcomes(events) == [pb.HTTP_OUTCOME_COMPLETE]


def test_a_parsed_head_goes_on_with_raw_records() -> None:
    chunks = [b"5\r\nhello\r\n", b"6\r\n world\r\n0\r\n\r\n"]
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    events = read(
        parsed("request", BOOT_NS, raw_data=REQUEST.decode(), headers={}),
        parsed("response", BOOT_NS + 1, raw_data=(head + chunks[0]).decode(), headers={}),
        wrapped(raw("READ/RECV", chunks[1], BOOT_NS + 2)),
    )
    assert answers(events) == [b"hello world"]
    assert outcomes(events) == [pb.HTTP_OUTCOME_COMPLETE]


def merged(*events: tuple[str | None, str], time: int = UNIX_MS + 900) -> bytes:
    data = {
        "tid": 7,
        "start_time": UNIX_MS + 100,
        "end_time": time,
        "sse_events": [{"event": name, "data": text, "id": None} for name, text in events],
    }
    outer = {"timestamp": time, "source": "sse_processor", "pid": 7, "comm": "c", "data": data}
    return json.dumps(outer).encode()


@pytest.mark.parametrize("with_head", [True, False])
def test_merged_streams_are_the_body_of_the_answer(with_head: bool) -> None:
    request = parsed("request", UNIX_MS, raw_data=REQUEST.decode(), headers={})
    head = parsed(
        "response",
        UNIX_MS + 50,
        status_code=200,
        headers={"content-type": "text/event-stream"},
    )
    stream = merged(("message_start", '{"a":1}'), ("message_stop", "{}"))
    events = read(request, *([head] if with_head else []), stream)
    assert answers(events) == [
        b'event: message_start\ndata: {"a":1}\n\nevent: message_stop\ndata: {}\n\n'
    ]
    assert outcomes(events) == [pb.HTTP_OUTCOME_COMPLETE]
    times = [
        time
        for event in events
        if event.http_body.direction == pb.DIRECTION_RESPONSE
        for time in event.http_body.piece_boot_ns
    ]
    assert times[0] == (UNIX_MS + 100) * 1_000_000
    assert times[-1] == (UNIX_MS + 900) * 1_000_000


def process(event: str, pid: int, **data: object) -> bytes:
    data = {"event": event, "pid": pid, "comm": "sh", "timestamp": BOOT_NS, **data}
    outer = {"timestamp": BOOT_NS, "source": "process", "pid": pid, "comm": "sh", "data": data}
    return json.dumps(outer).encode()


def test_processes_and_files_belong_to_the_session_of_their_parent() -> None:
    events = read(
        raw("WRITE/SEND", REQUEST, BOOT_NS),
        process("EXEC", 9, ppid=7, filename="/bin/ls", full_command="ls -l /tmp"),
        process("FILE_OPEN", 9, filepath="/tmp/x", flags=0),
        process("EXIT", 9, ppid=7, exit_code=3, duration_ms=12),
    )
    executed = next(e for e in events if e.WhichOneof("body") == "process_executed")
    assert list(executed.process_executed.argv) == ["ls", "-l", "/tmp"]
    exited = next(e for e in events if e.WhichOneof("body") == "process_exited")
    assert (exited.process_exited.exit_code, exited.process_exited.duration_ns) == (3, 12_000_000)
    assert {event.session for event in events} == {events[0].session}
    assert sum(e.WhichOneof("body") == "session_started" for e in events) == 1
    assert sum(e.WhichOneof("body") == "session_ended" for e in events) == 1


def test_sessions_have_the_same_ids_every_time_and_others_in_another_recording() -> None:
    lines = [raw("WRITE/SEND", REQUEST, 1, pid=7), raw("WRITE/SEND", REQUEST, 2, pid=8)]
    first, again = ({event.session for event in read(*lines)} for _ in range(2))
    other = {event.session for event in read(raw("WRITE/SEND", REQUEST, 3), *lines)}
    assert first == again
    assert len(first) == 2
    assert not first & other


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{broken", "is no JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"3", "must be a JSON object"),
        (b"\xff\xfe", "is no JSON"),
        (b'{"function":"READ/RECV","timestamp_ns":1,"data":"x"}', "pid must be a process id"),
        (b'{"function":"READ/RECV","pid":1,"data":"x"}', "timestamp or timestamp_ns must be"),
        (b'{"function":"PEEK","pid":1,"timestamp_ns":1,"data":"x"}', "known: READ/RECV"),
        (b'{"function":"READ/RECV","pid":1,"timestamp_ns":-1,"data":"x"}', "2**63"),
        (b'{"source":"radio","pid":1,"timestamp":1,"data":{}}', "source 'radio' is not known"),
        (
            b'{"source":"ssl","pid":1,"timestamp":1,"data":{"message_type":"request"}}',
            "data.method",
        ),
        (b'{"source":"sse_processor","pid":1,"timestamp":1,"data":{}}', "data.sse_events"),
    ],
)
def test_malformed_lines_are_named_and_the_others_are_read(line: bytes, message: str) -> None:
    good = [raw("WRITE/SEND", REQUEST, 1), raw("READ/RECV", response(ANSWER), 2)]
    events: list[pb.Event] = []
    reading = read_upstream(b"\n".join([good[0], line, good[1]]), source="test.jsonl")
    with pytest.raises(ConfigError) as caught:
        events.extend(reading)  # keeps what came before the error
    assert str(caught.value).startswith("test.jsonl: line 2: ")
    assert message in str(caught.value)
    assert answers(events) == [ANSWER]


@pytest.mark.parametrize(
    "line",
    [
        raw("READ/RECV", b"x", 2),
        wrapped(raw("WRITE/SEND", REQUEST, 1), unix_ms=UNIX_MS),
        parsed("request", UNIX_MS, method="GET", path="/", headers={"host": "a"}, body="b"),
        parsed("response", UNIX_MS, status_code=200, headers={"host": "a"}, content_length=1),
        merged(("delta", "text")),
        process("EXEC", 9, ppid=7, filename="/bin/ls", full_command="ls -l /tmp"),
        process("FILE_OPEN", 9, filepath="/tmp/x", flags=0),
        process("EXIT", 9, ppid=7, exit_code=3, duration_ms=12),
    ],
)
def test_a_wrong_value_costs_no_more_than_its_line(line: bytes) -> None:
    good = [raw("WRITE/SEND", REQUEST, 1, tid=8), raw("READ/RECV", response(ANSWER), 2, tid=8)]
    for wrong in every_wrong(json.loads(line)):
        lines = [good[0], json.dumps(wrong).encode(), good[1]]
        events: list[pb.Event] = []
        with contextlib.suppress(ConfigError):
            events.extend(read_upstream(b"\n".join(lines), source="test.jsonl"))
        assert ANSWER in answers(events)
        assert events[-1].WhichOneof("body") == "session_ended"


def test_many_malformed_lines_are_counted() -> None:
    with pytest.raises(ConfigError, match=r"line 5: .*; 3 more lines$"):
        read(*[b"{"] * 8)


def test_handshakes_and_measurements_are_not_traffic() -> None:
    handshake = json.loads(raw("HANDSHAKE", b"", 1))
    handshake["is_handshake"] = True
    system = {"timestamp": 1, "source": "system", "pid": 0, "comm": "", "data": {"cpu": 3}}
    events = read(json.dumps(handshake).encode(), json.dumps(system).encode())
    assert [event.WhichOneof("body") for event in events] == ["session_started", "session_ended"]


def test_detection() -> None:
    assert looks_like_upstream(raw("WRITE/SEND", REQUEST, 1))
    assert looks_like_upstream(wrapped(raw("WRITE/SEND", REQUEST, 1))[:300])
    assert not looks_like_upstream(b'{"log":{"entries":[]}}')
    assert not looks_like_upstream(b'{\n "log": {}}')
    assert not looks_like_upstream(b"hello")
    assert not looks_like_upstream(b"")
