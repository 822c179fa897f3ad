"""Every call of an imported recording is a span of its own, at the time that the entry says."""

import json
from datetime import UTC, datetime, timedelta

from agentsight_core.recordings.har import read_har

BEGIN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BUSY = {"error": {"message": "slow down", "type": "rate_limit_error"}}
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "model": "gpt-5",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def entry(offset_ms: int, time_ms: int, status: int, answer: dict, words: str = "hi") -> dict:
    request = {"model": "gpt-5", "messages": [{"role": "user", "content": words}]}
    return {
        "startedDateTime": (BEGIN + timedelta(milliseconds=offset_ms)).isoformat(),
        "time": time_ms,
        "request": {
            "method": "POST",
            "url": "https://api.openai.com/v1/chat/completions",
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": "content-type", "value": "application/json"}],
            "postData": {"mimeType": "application/json", "text": json.dumps(request)},
        },
        "response": {
            "status": status,
            "headers": [{"name": "content-type", "value": "application/json"}],
            "content": {"mimeType": "application/json", "text": json.dumps(answer)},
        },
        "timings": {"send": 0, "wait": time_ms, "receive": 0},
    }


def test_no_entry_is_merged_or_moved(run):
    # retries, equal requests, overlapping ones, and one that is far away
    moments = [(0, 500), (700, 200), (1000, 3000), (1200, 100), (4_000_000, 50)]
    statuses = [429, 429, 200, 200, 200]
    entries = [
        entry(offset, time, status, ANSWER if status == 200 else BUSY)
        for (offset, time), status in zip(moments, statuses, strict=True)
    ]
    har = {"log": {"version": "1.2", "creator": {"name": "x", "version": "1"}, "entries": entries}}
    found = run(list(read_har(json.dumps(har).encode(), source="x.har")))
    begin_ns = int(BEGIN.timestamp()) * 10**9
    calls = found.named("chat gpt-5")
    assert [(call.raw.start_ns, call.raw.end_ns) for call in calls] == [
        (begin_ns + offset * 10**6, begin_ns + (offset + time) * 10**6) for offset, time in moments
    ]
    errors = [call.attributes.get("error.type") for call in calls]
    assert errors == ["rate_limit_error"] * 2 + [None] * 3
    assert found.summaries[-1].llm_calls == 5


def test_many_conversations_in_one_recording_stay_apart(run):
    entries = [entry(number * 10, 5, 200, ANSWER, words=f"w{number}") for number in range(600)]
    har = {"log": {"version": "1.2", "creator": {"name": "x", "version": "1"}, "entries": entries}}
    found = run(list(read_har(json.dumps(har).encode(), source="x.har")))
    assert len({call.raw.trace_id for call in found.named("chat gpt-5")}) == 600
    assert found.total("agentsight.evicted") == 0
