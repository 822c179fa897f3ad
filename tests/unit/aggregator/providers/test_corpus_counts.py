"""Token counts as real services report them: what a comparison with recorded traffic found."""

from __future__ import annotations

import pytest

COHERE_URL = "https://api.cohere.com/v2/chat"
GEMINI_URL = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.0-flash"
ASK = {"model": "m-1", "messages": [{"role": "user", "content": "hi"}]}


def test_cohere_counts_what_the_model_read_and_is_priced_by_what_is_billed(read):
    usage = {
        "billed_units": {"input_tokens": 10, "output_tokens": 100},
        "tokens": {"input_tokens": 500, "output_tokens": 103},
        "cached_tokens": 448,
    }
    ask = {**ASK, "model": "command-r-08-2024"}
    both = read(COHERE_URL, ask, {"message": {"role": "assistant"}, "usage": usage})
    assert (both.usage.input_tokens, both.usage.output_tokens) == (500, 103)
    assert both.usage.cache_read_tokens == 448

    billed = {"billed_units": usage["billed_units"]}
    billed_only = read(COHERE_URL, ask, {"message": {"role": "assistant"}, "usage": billed})
    assert (billed_only.usage.input_tokens, billed_only.usage.output_tokens) == (10, 100)
    assert both.cost_usd == pytest.approx(billed_only.cost_usd)
    assert both.cost_usd > 0


def stream_of_claude(first: dict[str, int], last: dict[str, int]) -> list[dict[str, object]]:
    return [
        {"type": "message_start", "message": {"model": "claude-1", "usage": first}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    ]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        # Compaction: the answer itself no longer reads the cache that the compaction read.
        (
            {"input_tokens": 100, "cache_read_input_tokens": 5000, "output_tokens": 7},
            {"input_tokens": 180, "cache_read_input_tokens": 0, "output_tokens": 8},
            (180, 8),
        ),
        # A search on the server adds to the input while the answer is made.
        (
            {"input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 1},
            {"input_tokens": 900, "output_tokens": 20},
            (950, 20),
        ),
        # A compatible host that fills in zeros at the end.
        (
            {"input_tokens": 100, "cache_read_input_tokens": 50, "output_tokens": 1},
            {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9},
            (150, 9),
        ),
        # One that knows nothing at the start.
        (
            {"input_tokens": 0, "output_tokens": 0},
            {"input_tokens": 30, "output_tokens": 9},
            (30, 9),
        ),
    ],
)
def test_counts_restated_at_the_end_of_a_claude_stream(read, sse, first, last, expected):
    body = sse(stream_of_claude(first, last), named=True)
    call = read("https://api.anthropic.com/v1/messages", {**ASK, "stream": True}, body)
    assert (call.usage.input_tokens, call.usage.output_tokens) == expected


@pytest.mark.parametrize(
    ("number", "name"), [(1, "STOP"), (2, "MAX_TOKENS"), (3, "SAFETY"), (12, "12")]
)
def test_gemini_with_enumerations_as_numbers(read, number, name):
    # $alt=json;enum-encoding=int, which Google's older SDKs ask for
    chunk = {
        "candidates": [{"content": {"parts": [{"text": "hello"}]}, "finishReason": number}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1},
    }
    first = {"candidates": [{"content": {"parts": [{"text": "oh, "}]}, "finishReason": 0}]}
    call = read(GEMINI_URL + ":streamGenerateContent", {"contents": []}, [first, chunk])
    assert call.finish_reasons == (name,)
    assert call.error_type == ""
    assert call.stream


def test_bedrock_embedding_behind_an_inference_profile(read):
    arn = "arn%3Aaws%3Abedrock%3Aus-east-1%3A111111111111%3Aapplication-inference-profile%2Fabc"
    url = f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{arn}/invoke"
    embedding = read(
        url, {"inputText": "a", "normalize": True}, {"embedding": [0.1], "inputTextTokenCount": 2}
    )
    assert (embedding.operation, embedding.usage.input_tokens) == ("embeddings", 2)
    cohere = read(url, {"texts": ["a"], "input_type": "search_query"}, {"embeddings": [[0.1]]})
    assert cohere.operation == "embeddings"
    claude = read(
        url, {"anthropic_version": "x", "messages": []}, {"type": "message", "content": []}
    )
    assert claude.operation == "chat"


def test_empty_function_call_of_snowflake_is_no_tool_call(read):
    url = "https://a-b.snowflakecomputing.com/api/v2/cortex/v1/chat/completions"
    message = {
        "role": "assistant",
        "content": "4",
        "tool_calls": None,
        "function_call": {"name": "", "arguments": ""},
    }
    call = read(url, ASK, {"model": "m-1", "choices": [{"message": message}]})
    assert call.output[0].tool_calls == ()
    named = {**message, "function_call": {"name": "add", "arguments": "{}"}}
    call = read(url, ASK, {"model": "m-1", "choices": [{"message": named}]})
    assert [item.name for item in call.output[0].tool_calls] == ["add"]


@pytest.mark.parametrize(("last", "stream"), [("text", False), ("text_stream", True)])
def test_watsonx_before_version_1(read, sse, last, stream):
    url = f"https://us-south.ml.cloud.ibm.com/ml/v1-beta/generation/{last}?version=2024-02-15"
    answer = {
        "model_id": "org/m-1",
        "results": [
            {
                "generated_text": "yes",
                "generated_token_count": 2,
                "input_token_count": 7,
                "stop_reason": "eos_token",
            }
        ],
    }
    ask = {"model_id": "org/m-1", "input": "sure?"}
    call = read(url, ask, sse([answer]) if stream else answer)
    assert (call.operation, call.request_model, call.response_model) == (
        "text_completion",
        "org/m-1",
        "org/m-1",
    )
    assert (call.usage.input_tokens, call.usage.output_tokens) == (7, 2)
    assert call.stream is stream
