"""Streams as real services and recorders write them: what a comparison with recordings found."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import pytest

CHAT_URL = "https://openrouter.ai/api/v1/chat/completions"
VERTEX_URL = (
    "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"
    "/models/gemini-9:streamGenerateContent?alt=sse"
)
ASK = {"model": "m-1", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def of_gemini(*calls, **last):
    parts = [{"functionCall": call} for call in calls]
    return {"candidates": [{"content": {"parts": parts, "role": "model"}, **last}]}


def test_gemini_call_streamed_argument_by_argument(read, sse):
    chunks = [
        of_gemini({"name": "book", "willContinue": True}),
        of_gemini(
            {
                "partialArgs": [{"jsonPath": "$.city", "stringValue": "Bos", "willContinue": True}],
                "willContinue": True,
            }
        ),
        of_gemini(
            {
                "partialArgs": [
                    {"jsonPath": "$.city", "stringValue": "ton"},
                    {"jsonPath": "$.days[0].count", "numberValue": 2},
                    {"jsonPath": "$.days[0]['with pets']", "boolValue": True},
                    {"jsonPath": "$.days[1].count", "numberValue": 3},
                    {"jsonPath": "$.note", "nullValue": "NULL_VALUE"},
                    {"jsonPath": "$.days[900000000]", "numberValue": 4},
                ],
                "willContinue": True,
            }
        ),
        of_gemini({}),
        of_gemini({"name": "wait", "args": {"s": 1}}),
        of_gemini({"name": "stop", "willContinue": True}),
        of_gemini({}, finishReason="STOP"),
    ]
    call = read(VERTEX_URL, {"contents": []}, sse(chunks))
    assert [(item.name, json.loads(item.arguments)) for item in call.tool_calls] == [
        (
            "book",
            {
                "city": "Boston",
                "days": [{"count": 2, "with pets": True}, {"count": 3}],
                "note": None,
            },
        ),
        ("wait", {"s": 1}),
        ("stop", {}),
    ]


@pytest.mark.parametrize(
    ("usage", "output_tokens"),
    [
        # OpenRouter estimates reasoning; the sum says that it is within.
        ({"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60}, 50),
        # x.ai counts it beside and in the sum.
        ({"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 115}, 105),
        # Vercel's gateway leaves Gemini's thoughts out of both, and prices them.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 50,
                "total_tokens": 60,
                "market_cost": 0.1,
            },
            105,
        ),
        # No sum, and more reasoning than there could be within.
        ({"prompt_tokens": 10, "completion_tokens": 50}, 105),
    ],
)
def test_more_reasoning_than_completion(read, sse, usage, output_tokens):
    usage = {**usage, "completion_tokens_details": {"reasoning_tokens": 55}}
    chunks = [
        {"model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"model": "m-1", "choices": [], "usage": usage},
    ]
    call = read(CHAT_URL, ASK, sse(chunks, done=True))
    assert call.usage.output_tokens == output_tokens


def test_cohere_names_the_error_of_a_stream(read, sse):
    delta = {"finish_reason": "ERROR", "error": "no", "error_type": "INVALID_TOOL_GENERATION"}
    body = sse([{"type": "message-end", "delta": delta}], named=True, done=True)
    call = read("https://api.cohere.com/v2/chat", ASK, body)
    assert (call.error_type, call.error_message) == ("INVALID_TOOL_GENERATION", "no")


def test_events_without_blank_lines_between(read):
    chunks = [
        {"model": "m-1", "choices": [{"index": 0, "delta": {"content": "he"}}]},
        {"model": "m-1", "choices": [{"index": 0, "delta": {"content": "llo"}}]},
        {"model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    lines = [f"data: {json.dumps(chunk)}" for chunk in chunks]
    call = read(CHAT_URL, ASK, "\n".join([*lines, "data: [DONE]", ""]))
    assert (call.response_model, call.error_type, call.problems) == ("m-1", "", ())
    assert "hello" in call.output[0].parts_json
    # One document over several data lines stays one.
    pretty = json.dumps(chunks[-1], indent=1).replace("\n", "\ndata: ")
    call = read(CHAT_URL, ASK, f"data: {pretty}\n\n")
    assert call.finish_reasons == ("stop",)


def aws_event(name: str, payload: bytes) -> bytes:
    """One frame of an AWS event stream (type 7 headers only)."""
    pairs = {":event-type": name, ":message-type": "event"}
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for key, value in pairs.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    frame = prelude + headers + payload
    return frame + struct.pack(">I", zlib.crc32(frame))


def bedrock_stream(*chunks: dict[str, object]) -> bytes:
    encoded = [base64.b64encode(json.dumps(chunk).encode()).decode() for chunk in chunks]
    return b"".join(aws_event("chunk", json.dumps({"bytes": item}).encode()) for item in encoded)


def bedrock_url(model: str) -> str:
    host = "https://bedrock-runtime.us-east-1.amazonaws.com"
    return f"{host}/model/{model}/invoke-with-response-stream"


def test_bedrock_guardrail_that_blocks_a_stream_ends_it(read):
    chunk = {"outputText": "Blocked.", "index": 0, "completionReason": None}
    blocked = {**chunk, "amazon-bedrock-guardrailAction": "INTERVENED"}
    ask = {"inputText": "bad", "textGenerationConfig": {}}
    url = bedrock_url("amazon.titan-text-express-v1")
    assert read(url, ask, bedrock_stream(blocked)).error_type == ""
    passed = {**chunk, "amazon-bedrock-guardrailAction": "NONE"}
    assert read(url, ask, bedrock_stream(passed)).error_type == "aborted"


def test_bedrock_counts_cohere_as_it_does_in_headers(read):
    tokens = {"input_tokens": 73, "output_tokens": 8}
    billed = {"input_tokens": 7, "output_tokens": 7}
    last = {
        "event_type": "stream-end",
        "is_finished": True,
        "finish_reason": "COMPLETE",
        "response": {"text": "hi", "meta": {"tokens": tokens, "billed_units": billed}},
        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 7},
    }
    call = read(bedrock_url("cohere.command-r-v1:0"), {"message": "q"}, bedrock_stream(last))
    assert (call.usage.input_tokens, call.usage.output_tokens) == (7, 7)
