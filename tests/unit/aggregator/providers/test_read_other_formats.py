"""Google, Amazon, Ollama, Cohere, IBM and the servers of one's own, beyond what their SDKs do."""

from __future__ import annotations

import json

import pytest

GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro"
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def gemini_answer(parts, reason=None, **usage):
    candidate = {"content": {"role": "model", "parts": parts}}
    candidate.update({"finishReason": reason} if reason else {})
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"}


CALL = {"functionCall": {"name": "f", "args": {"a": 1}}}
ARRAY = [
    gemini_answer([{"text": "Grüße, "}], promptTokenCount=5, candidatesTokenCount=1),
    gemini_answer([{"text": "du"}, CALL], "STOP", promptTokenCount=5, candidatesTokenCount=9),
]


def test_gemini_stream_as_json_array(read):
    body = json.dumps(ARRAY, indent=2, ensure_ascii=False)
    call = read(f"{GEMINI}:streamGenerateContent", CONTENTS, body)
    assert call.stream
    assert (call.usage.input_tokens, call.usage.output_tokens) == (5, 9)
    assert call.output[0].text == "Grüße, du"
    assert [(t.name, t.arguments) for t in call.tool_calls] == [("f", '{"a":1}')]
    assert call.error_type == ""


def test_gemini_array_that_is_cut(read):
    body = json.dumps(ARRAY, ensure_ascii=False)
    call = read(f"{GEMINI}:streamGenerateContent", CONTENTS, body[: len(body) - 60])
    assert (call.usage.output_tokens, call.error_type) == (1, "aborted")


def test_gemini_error_of_a_stream_is_an_array(read):
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    call = read(f"{GEMINI}:streamGenerateContent", CONTENTS, [error], status=503)
    assert (call.error_type, call.error_message, call.retryable) == (
        "UNAVAILABLE",
        "overloaded",
        True,
    )


def test_gemini_cli_wraps_request_and_answer(read, sse):
    url = "https://cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse"
    ask = {"model": "models/gemini-2.5-flash", "project": "p", "request": CONTENTS}
    call = read(url, ask, sse([{"response": item} for item in ARRAY]))
    assert (call.request_model, call.response_model) == ("gemini-2.5-flash", "gemini-2.5-pro")
    assert call.usage.output_tokens == 9
    assert call.input[0].text == "hi"


def test_gemini_all_output_may_be_thought(read):
    answer = gemini_answer([], "MAX_TOKENS", promptTokenCount=5, thoughtsTokenCount=64)
    call = read(f"{GEMINI}:generateContent", CONTENTS, answer)
    assert (call.usage.output_tokens, call.usage.reasoning_tokens) == (64, 64)


def test_vertex_text_embeddings(read):
    url = (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google"
        "/models/text-embedding-005:predict"
    )
    one = {"embeddings": {"values": [0.1], "statistics": {"token_count": 4}}}
    call = read(url, {"instances": [{"content": "a"}]}, {"predictions": [one, one]})
    assert (call.operation, call.usage.input_tokens) == ("embeddings", 8)
    assert call.request_model == "text-embedding-005"


def test_ollama_streams_unless_told_otherwise(read):
    url = "http://gpu-box:8080/api/chat"
    end = {"model": "m", "done": True, "message": {"content": "x"}, "eval_count": 2}
    assert read(url, {"model": "m", "messages": []}, end).stream
    assert not read(url, {"model": "m", "messages": [], "stream": False}, end).stream


def test_cohere_version_1(read):
    end = {
        "event_type": "stream-end",
        "finish_reason": "COMPLETE",
        "response": {
            "generation_id": "g",
            "text": "Sunny",
            "tool_calls": [{"name": "f", "parameters": {"a": 1}}],
            "meta": {"billed_units": {"input_tokens": 3, "output_tokens": 4}},
        },
    }
    lines = [{"event_type": "stream-start"}, {"event_type": "text-generation", "text": "Sun"}, end]
    body = "\n".join(json.dumps(line) for line in lines)
    ask = {"model": "command-r", "message": "hi", "stream": True}
    call = read("https://api.cohere.com/v1/chat", ask, body)
    assert (call.usage.input_tokens, call.usage.output_tokens) == (3, 4)
    assert [t.name for t in call.tool_calls] == ["f"]
    assert call.error_type == ""


def test_watsonx(read, sse):
    base = "https://us-south.ml.cloud.ibm.com/ml/v1/text"
    ask = {"model_id": "ibm/granite-3-8b-instruct", "messages": []}
    answer = {
        "model_id": "ibm/granite-3-8b-instruct",
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    chat = read(f"{base}/chat?version=2024-10-08", ask, answer)
    assert (chat.operation, chat.request_model, chat.usage.output_tokens) == (
        "chat",
        "ibm/granite-3-8b-instruct",
        2,
    )
    result = {"generated_text": "x", "generated_token_count": 2, "input_token_count": 3}
    pieces = [
        {"model_id": "ibm/granite", "results": [{**result, "stop_reason": "not_finished"}]},
        {"model_id": "ibm/granite", "results": [{**result, "stop_reason": "eos_token"}]},
    ]
    url = f"{base}/generation_stream?version=2024-10-08"
    call = read(url, {"model_id": "ibm/granite", "input": "hi"}, sse(pieces))
    assert (call.operation, call.stream, call.error_type) == ("text_completion", True, "")
    assert (call.usage.input_tokens, call.usage.output_tokens) == (3, 2)


def test_llama_cpp_and_tgi(read, sse):
    answer = {"content": "x", "stop_type": "eos", "tokens_evaluated": 3, "tokens_predicted": 2}
    call = read("http://localhost:8080/completion", {"prompt": "hi", "n_predict": 9}, answer)
    assert (call.provider, call.operation) == ("llama_cpp", "text_completion")
    assert (call.usage.input_tokens, call.usage.output_tokens) == (3, 2)
    events = [
        {"token": {"text": "a", "special": False}, "generated_text": None, "details": None},
        {
            "token": {"text": "</s>", "special": True},
            "generated_text": "a",
            "details": {"finish_reason": "eos_token", "generated_tokens": 2},
        },
    ]
    call = read("http://localhost:3000/generate_stream", {"inputs": "hi"}, sse(events))
    assert (call.stream, call.output[0].text, call.usage.output_tokens) == (True, "a", 2)


@pytest.mark.parametrize(
    ("model", "ask", "answer", "text", "counts"),
    [
        (
            "meta.llama3-8b-instruct-v1:0",
            {"prompt": "hi"},
            {"generation": "x", "prompt_token_count": 3, "generation_token_count": 2},
            "x",
            (3, 2),
        ),
        (
            "cohere.command-r-v1:0",
            {"message": "hi"},
            {"generation_id": "g", "text": "x", "finish_reason": "COMPLETE"},
            "x",
            (7, 8),
        ),
        (
            "ai21.jamba-1-5-large-v1:0",
            {"messages": [{"role": "user", "content": "hi"}]},
            {
                "choices": [{"message": {"role": "assistant", "content": "x"}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            },
            "x",
            (3, 2),
        ),
        (
            "deepseek.r1-v1:0",
            {"prompt": "hi"},
            {"choices": [{"text": "x", "stop_reason": "stop"}]},
            "x",
            (7, 8),
        ),
        (
            "anthropic.claude-v2",
            {"prompt": "\n\nHuman: hi", "max_tokens_to_sample": 5},
            {"type": "completion", "completion": "x", "stop_reason": "stop_sequence"},
            "x",
            (7, 8),
        ),
    ],
)
def test_bedrock_invoke_bodies(read, model, ask, answer, text, counts):
    headers = {
        "x-amzn-bedrock-input-token-count": "7",
        "x-amzn-bedrock-output-token-count": "8",
    }
    call = read(f"{BEDROCK}/{model}/invoke", ask, answer, headers=headers)
    assert (call.operation, call.request_model, call.output[0].text) == ("chat", model, text)
    assert (call.usage.input_tokens, call.usage.output_tokens) == counts


def test_bedrock_error_without_its_header(read):
    body = {"__type": "com.amazon.coral.service#ValidationException", "message": "no"}
    call = read(f"{BEDROCK}/amazon.nova-lite-v1:0/converse", {}, body, status=400)
    assert call.error_type == "ValidationException"


def test_unreadable_answers_are_problems(read):
    ask = {"model": "m", "messages": []}
    html = read("https://api.openai.com/v1/chat/completions", ask, "<html>hi</html>")
    assert (html.error_type, len(html.problems)) == ("_OTHER", 1)
    cut = read("https://api.openai.com/v1/chat/completions", ask, '{"model": "m-1", "choices": [{')
    assert (cut.error_type, cut.response_model) == ("aborted", "m-1")
    empty = read("https://api.openai.com/v1/chat/completions", ask, b"")
    assert (empty.error_type, empty.problems) == ("", ("response: the body is empty",))


def test_nan_bad_utf8_and_lone_surrogates_are_taken(read):
    raw = b'{"model": "m\xff", "logprobs": NaN, "id": "a\\ud800", "choices": []}'
    call = read("https://api.openai.com/v1/chat/completions", {"model": "m"}, raw)
    assert (call.response_model, call.response_id) == ("m\ufffd", "a\ufffd")
    assert call.error_type == ""


def test_server_address_and_port(read):
    call = read("http://localhost:8000/v1/chat/completions", {"model": "m", "messages": []}, {})
    assert (call.server_address, call.server_port) == ("localhost", 8000)
    call = read("https://api.openai.com/v1/chat/completions", {"model": "m"}, {})
    assert (call.server_address, call.server_port) == ("api.openai.com", 443)


def test_the_path_decides_on_the_model_where_the_body_only_repeats_it(read):
    ask = {"model": "alias", "messages": []}
    call = read(f"{BEDROCK}/openai.gpt-oss-120b-1%3A0/invoke", ask, {"choices": []})
    assert call.request_model == "openai.gpt-oss-120b-1:0"


def test_ollama_speaks_the_compatible_format_too(read):
    ask = {"model": "llama3.2", "messages": []}
    call = read("http://10.0.0.5:11434/v1/chat/completions", ask, {"choices": []})
    assert (call.provider, call.api, call.cost_usd) == ("ollama", "openai.chat", None)


RUN = "https://api.cloudflare.com/client/v4/accounts/a/ai/run"


def test_workers_ai(read, sse):
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    calls = [{"name": "f", "arguments": {"a": 1}}]
    result = {"result": {"response": "x", "tool_calls": calls, "usage": usage}, "success": True}
    call = read(f"{RUN}/@cf/meta/llama-3.1-8b-instruct", {"messages": []}, result)
    assert (call.provider, call.operation) == ("cloudflare", "chat")
    assert call.request_model == "@cf/meta/llama-3.1-8b-instruct"
    assert (call.usage.output_tokens, [t.name for t in call.tool_calls]) == (2, ["f"])

    gateway = "https://gateway.ai.cloudflare.com/v1/a/g/workers-ai/@cf/meta/llama-3.1-8b-instruct"
    body = sse([{"response": "a"}, {"response": "b", "usage": usage}], done=True)
    call = read(gateway, {"prompt": "hi", "stream": True}, body)
    assert (call.operation, call.stream, call.error_type) == ("text_completion", True, "")
    assert (call.output[0].text, call.usage.input_tokens) == ("ab", 3)

    failed = {"success": False, "errors": [{"code": 5007, "message": "No such model"}]}
    call = read(f"{RUN}/@cf/x/y", {"messages": []}, failed, status=400)
    assert (call.error_type, call.error_message) == ("5007", "No such model")
    assert read(f"{RUN}/@cf/stabilityai/stable-diffusion-xl", {"prompt": "cat"}, b"PNG") is None
    assert read(f"{RUN}/@cf/openai/whisper", {"audio": [1]}, {"result": {}}) is None
