"""What recorders of test suites write into HARs: chunks in base64, masked hosts, odd URLs."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from agentsight_core.recordings.har import read_har

TEXT = '{"answer": "Grüße"}'


def read(url="https://api.example.com/v1/x", content=None, headers=(), sent=()):
    as_items = [{"name": name, "value": value} for name, value in headers]
    entry = {
        "startedDateTime": "2026-01-05T10:00:00Z",
        "request": {
            "method": "GET",
            "url": url,
            "headers": [{"name": name, "value": value} for name, value in sent],
        },
        "response": {"status": 200, "headers": as_items, "content": content or {"text": TEXT}},
    }
    data = json.dumps({"log": {"entries": [entry]}}).encode()
    return list(read_har(data, source="x.har"))


def body_of(events):
    return b"".join(
        event.http_body.data for event in events if event.WhichOneof("body") == "http_body"
    )


def request_of(events):
    return next(
        event.http_request_started
        for event in events
        if event.WhichOneof("body") == "http_request_started"
    )


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_body_as_an_array_of_chunks_in_base64(pieces):
    packed = gzip.compress(TEXT.encode())
    size = len(packed) // pieces + 1
    chunks = [packed[at : at + size] for at in range(0, len(packed), size)]
    content = {
        "encoding": "base64",
        "text": json.dumps([base64.b64encode(chunk).decode() for chunk in chunks]),
    }
    assert body_of(read(content=content, headers=[("content-encoding", "gzip")])) == TEXT.encode()


@pytest.mark.parametrize(
    "text",
    ['["broken', '["no base64!"]', '["AA==",' + "[" * 100_000],
    ids=["broken", "no base64", "deep"],
)
def test_array_that_is_none_is_kept_as_text(text):
    events = read(content={"encoding": "base64", "text": text})
    assert body_of(events) == text.encode()
    finished = [event for event in events if event.WhichOneof("body") == "http_finished"]
    assert finished[0].http_finished.error == "the response body is not base64"


@pytest.mark.parametrize(
    ("url", "sent", "authority"),
    [
        ("<BASE>/chat/completions", (), "<BASE>"),
        ("llm.local:8000/chat/completions", (), "llm.local:8000"),
        ("/chat/completions", [("Host", "one.example")], "one.example"),
        ("/chat/completions", [(":authority", "two.example")], "two.example"),
    ],
)
def test_url_without_scheme(url, sent, authority):
    request = request_of(read(url, sent=sent))
    assert (request.target, request.authority) == ("/chat/completions", authority)


@pytest.mark.parametrize(
    "url", ["http://[x/y", "data:text/plain,a/b", "about:blank", "", "/only/a/path", "ftp://a/b"]
)
def test_url_that_is_none_is_counted(url):
    lost = [event.lost for event in read(url) if event.WhichOneof("body") == "lost"]
    assert len(lost) == 1
    assert "request.url" in lost[0].reason


def test_lone_surrogates_do_not_stop_the_recording():
    events = read("https://a.example/x\ud800", headers=[("x-\udfff", "\ud800é")])
    assert request_of(events).target == "/x\ufffd"
    started = [
        event.http_response_started
        for event in events
        if event.WhichOneof("body") == "http_response_started"
    ]
    assert [(header.name, header.value) for header in started[0].headers] == [
        ("x-\ufffd", "\ufffdé")
    ]
