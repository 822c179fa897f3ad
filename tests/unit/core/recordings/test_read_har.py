"""HAR 1.2 as events: times, bodies in every form exporters give them, malformed entries."""

from __future__ import annotations

import base64
import gzip
import json

import brotli
import pytest
import zstandard
from agentsight_core.errors import ConfigError
from agentsight_core.pb import events_pb2 as pb
from agentsight_core.recordings.har import looks_like_har, read_har

TEXT = '{"answer": "Grüße"}'
START = "2026-01-05T10:00:00.123456+01:00"
START_NS = 1_767_603_600_123_456_000


def make_entry(**changes):
    entry = {
        "startedDateTime": START,
        "time": 100.5,
        "request": {
            "method": "POST",
            "url": "https://user:pw@api.example.com:8443/v1/x?a=1",
            "headers": [
                {"name": ":authority", "value": "h2"},
                {"name": "User-Agent", "value": "sdk/1"},
            ],
            "postData": {"mimeType": "application/json", "text": '{"q": 1}'},
        },
        "response": {
            "status": 200,
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "content": {"size": 10, "mimeType": "application/json", "text": TEXT},
        },
        "timings": {"blocked": -1, "dns": 1, "connect": 5, "ssl": 4, "send": 2, "wait": 40},
    }
    return {**entry, **changes}


def make_har(*entries, **log):
    return json.dumps({"log": {"version": "1.2", "entries": list(entries), **log}}).encode()


def read(*entries, **log):
    return list(read_har(make_har(*entries, **log), source="x.har"))


def of(events, kind):
    return [getattr(event, kind) for event in events if event.WhichOneof("body") == kind]


def response_of(content, headers=()):
    made = {"status": 200, "content": content}
    return {**made, "headers": [{"name": n, "value": v} for n, v in headers]}


def body_of(events):
    return b"".join(b.data for b in of(events, "http_body") if b.direction == pb.DIRECTION_RESPONSE)


def test_an_entry_becomes_one_exchange_at_its_own_time():
    events = read(make_entry())
    kinds = [event.WhichOneof("body") for event in events]
    assert kinds == [
        "session_started",
        "http_request_started",
        "http_body",
        "http_response_started",
        "http_body",
        "http_finished",
        "session_ended",
    ]
    begun, sent, answered, _, ended = events[1:6]
    assert begun.wall_ns == START_NS
    assert sent.wall_ns == START_NS + 8_000_000
    assert answered.wall_ns == START_NS + 48_000_000
    assert ended.wall_ns == START_NS + 100_500_000
    request = begun.http_request_started
    assert (request.method, request.target, request.scheme) == ("POST", "/v1/x?a=1", "https")
    assert request.authority == "api.example.com:8443"
    assert [header.name for header in request.headers] == ["host", "user-agent", "content-type"]
    assert body_of(events) == TEXT.encode()
    assert ended.http_finished.outcome == pb.HTTP_OUTCOME_COMPLETE
    assert events[0].session_started.agent_name == "sdk"
    assert events[0].session_started.origin == pb.SESSION_ORIGIN_IMPORT
    assert len({event.session for event in events}) == 1


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("2026-01-05T09:00:00Z", 0),
        ("2026-01-05T09:00:00.5Z", 500_000_000),
        ("2026-01-05T09:00:00.123456789Z", 123_456_789),
        ("2026-01-05T10:00:00.001+0100", 1_000_000),
        ("2026-01-05T09:00:00", 0),
    ],
)
def test_times_are_exact(written, nanoseconds):
    events = read(make_entry(startedDateTime=written))
    assert events[1].wall_ns == 1_767_603_600 * 10**9 + nanoseconds


GZIP, ZSTD = gzip.compress(TEXT.encode()), zstandard.compress(TEXT.encode())


@pytest.mark.parametrize(
    ("raw", "coding"),
    [
        (TEXT.encode(), ""),
        # The header stayed, the coding is gone.
        (TEXT.encode(), "gzip"),
        (TEXT.encode(), "br"),
        (GZIP, "gzip"),
        # The coding stayed, the header is gone.
        (GZIP, ""),
        (ZSTD, "zstd"),
        (brotli.compress(TEXT.encode()), "br"),
    ],
)
def test_base64_bodies_are_decoded_however_much_is_left_to_undo(raw, coding):
    content = {"size": 1, "text": base64.b64encode(raw).decode(), "encoding": "base64"}
    headers = [("Content-Encoding", coding)] if coding else []
    events = read(make_entry(response=response_of(content, headers)))
    assert body_of(events) == TEXT.encode()
    assert of(events, "http_finished")[0].error == ""


def test_an_event_stream_in_base64_that_is_not_said_to_be():
    raw = b"\0\0\0\x10\0\0\0\0rest"
    mime = "application/vnd.amazon.eventstream"
    content = {"size": 1, "mimeType": mime, "text": base64.b64encode(raw).decode()}
    assert body_of(read(make_entry(response=response_of(content)))) == raw
    content["text"] = raw.decode("latin-1")
    assert body_of(read(make_entry(response=response_of(content)))) == raw


def test_compressed_bytes_in_a_string():
    content = {"size": 1, "text": GZIP.decode("latin-1")}
    events = read(make_entry(response=response_of(content, [("Content-Encoding", "gzip")])))
    assert body_of(events) == TEXT.encode()


@pytest.mark.parametrize("mark", [{"encoding": "base64"}, {"_encoding": "base64"}, {}])
def test_compressed_request_bodies(mark):
    post = {"mimeType": "application/json", "text": base64.b64encode(ZSTD).decode(), **mark}
    request = {
        **make_entry()["request"],
        "postData": post,
        "headers": [{"name": "content-encoding", "value": "zstd"}],
    }
    events = read(make_entry(request=request))
    assert of(events, "http_body")[0].data == TEXT.encode()


def test_form_parameters():
    params = [{"name": "a", "value": "1 2"}, {"name": "b", "value": "é"}]
    request = {**make_entry()["request"], "postData": {"mimeType": "x", "params": params}}
    assert of(read(make_entry(request=request)), "http_body")[0].data == b"a=1+2&b=%C3%A9"


def test_a_body_that_was_not_recorded_is_a_gap():
    events = read(make_entry(response=response_of({"size": 77})))
    finished = of(events, "http_finished")[0]
    assert (finished.outcome, finished.lost_bytes) == (pb.HTTP_OUTCOME_GAP, 77)
    assert "lacks the response body" in finished.error


def test_a_cut_compressed_body_says_so():
    content = {"size": 1, "text": base64.b64encode(GZIP[:-9]).decode(), "encoding": "base64"}
    events = read(make_entry(response=response_of(content, [("Content-Encoding", "gzip")])))
    assert "ends early" in of(events, "http_finished")[0].error


def test_no_answer_is_an_aborted_exchange():
    response = {"status": 0, "content": {"size": 0}, "_error": "net::ERR_CONNECTION_REFUSED"}
    events = read(make_entry(response=response))
    assert of(events, "http_response_started") == []
    finished = of(events, "http_finished")[0]
    assert (finished.outcome, finished.error) == (
        pb.HTTP_OUTCOME_ABORTED,
        "net::ERR_CONNECTION_REFUSED",
    )


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"request": None}, "request"),
        ({"request": {"method": "POST", "url": "/relative"}}, "request.url"),
        ({"response": {"status": "OK"}}, "response.status"),
        ({"startedDateTime": "yesterday"}, "startedDateTime"),
        ({"startedDateTime": None}, "startedDateTime"),
    ],
)
def test_a_malformed_entry_is_lost_and_the_others_go_on(change, key):
    events = read(make_entry(**change), make_entry(), 7)
    assert len(of(events, "http_finished")) == 1
    lost = of(events, "lost")
    assert [item.count for item in lost] == [1, 1]
    assert key in lost[0].reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x00", "not JSON"),
        (b"[]", "log"),
        (b'{"log": {}}', "log.entries"),
        (b'{"log": {"entries": 3}}', "log.entries"),
        (b'{"log": {"entries": [', "not JSON"),
    ],
)
def test_what_is_no_har_says_where_and_why(data, words):
    with pytest.raises(ConfigError, match=r"x\.har") as raised:
        list(read_har(data, source="x.har"))
    assert words in str(raised.value)


def test_pages_are_sessions_and_ids_come_from_the_content():
    entries = [make_entry(pageref="p1"), make_entry(pageref="p2"), make_entry(pageref="p1")]
    sessions = {event.session for event in read(*entries)}
    assert len(sessions) == 2
    assert {event.session for event in read(*entries)} == sessions
    assert {event.session for event in read(*entries[:2])} != sessions


def test_overlapping_entries_are_told_in_the_order_of_time():
    later = make_entry(startedDateTime="2026-01-05T10:00:00.130+01:00")
    events = read(later, make_entry())
    times = [event.wall_ns for event in events]
    assert times == sorted(times)
    assert len({item.connection for item in of(events, "http_finished")}) == 2


def test_websocket_messages_are_counted():
    entry = make_entry(_webSocketMessages=[{"type": "send"}, {"type": "receive"}])
    assert [item.count for item in of(read(entry), "lost")] == [2]


def test_lone_surrogates_and_a_byte_order_mark_are_taken():
    har = make_har(make_entry(response=response_of({"size": 3, "text": "a\ud800b"})))
    assert "a\ufffdb".encode() in body_of(list(read_har(b"\xef\xbb\xbf" + har, source="x.har")))


def test_looks_like_har():
    assert looks_like_har(b'\xef\xbb\xbf{\n "log" : {"version"')
    assert not looks_like_har(b'{"timestamp": 1}')
