"""Traffic of botocore: Bedrock Converse and InvokeModel, both with streams."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import boto3
from botocore.config import Config
from record import Scenario

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
STREAM = "application/vnd.amazon.eventstream"
MESSAGES = [{"role": "user", "content": [{"text": "Weather?"}]}]


def client(base: str) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=base,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )


def converse(base: str) -> object:
    return client(base).converse(
        modelId=CLAUDE, messages=MESSAGES, inferenceConfig={"maxTokens": 100, "temperature": 0.5}
    )


def converse_stream(base: str) -> object:
    return list(client(base).converse_stream(modelId=CLAUDE, messages=MESSAGES)["stream"])


def invoke(base: str, model: str, body: dict[str, Any]) -> object:
    return client(base).invoke_model(modelId=model, body=json.dumps(body))["body"].read()


def invoke_stream(base: str, model: str, body: dict[str, Any]) -> object:
    made = client(base).invoke_model_with_response_stream(modelId=model, body=json.dumps(body))
    return list(made["body"])


def frame(headers: dict[str, str], payload: dict[str, Any]) -> bytes:
    """One message of an AWS event stream; header values are strings (type 7)."""
    head = b"".join(
        bytes([len(name)])
        + name.encode()
        + b"\x07"
        + struct.pack(">H", len(value))
        + value.encode()
        for name, value in headers.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(head) + len(body), len(head))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + head + body
    return message + struct.pack(">I", zlib.crc32(message))


def event(name: str, payload: dict[str, Any]) -> bytes:
    kind = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(kind, payload)


def exception(name: str, message: str) -> bytes:
    kind = {":exception-type": name, ":content-type": "application/json"}
    return frame({**kind, ":message-type": "exception"}, {"message": message})


def piece(model_json: dict[str, Any]) -> bytes:
    return event("chunk", {"bytes": base64.b64encode(json.dumps(model_json).encode()).decode()})


USAGE = {
    "inputTokens": 30,
    "outputTokens": 12,
    "totalTokens": 1142,
    "cacheReadInputTokens": 1000,
    "cacheWriteInputTokens": 100,
}
EVENTS = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "I look."}}),
    event("contentBlockStop", {"contentBlockIndex": 0}),
    event(
        "contentBlockStart",
        {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "get_weather"}}},
    ),
    event(
        "contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"city"'}}}
    ),
    event("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": ': "P"}'}}}),
    event("contentBlockStop", {"contentBlockIndex": 1}),
]
END = [
    event("messageStop", {"stopReason": "tool_use"}),
    event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 900}}),
]


def expect(**changes: Any) -> dict[str, Any]:
    return {
        "provider": "aws.bedrock",
        "operation": "chat",
        "request_model": CLAUDE,
        "response_model": "",
        "stream": False,
        "input_tokens": 1130,
        "output_tokens": 12,
        "tool_names": [],
        "error_type": "",
        **changes,
    }


CONVERSE = [
    Scenario(
        "answer with tool use",
        HOST,
        converse,
        {
            "output": {
                "message": {
                    "role": "assistant",
                    "content": [
                        {"text": "I look."},
                        {"toolUse": {"toolUseId": "t1", "name": "get_weather", "input": {"a": 1}}},
                    ],
                }
            },
            "stopReason": "tool_use",
            "usage": USAGE,
            "metrics": {"latencyMs": 900},
        },
        expect(tool_names=["get_weather"]),
    ),
    Scenario(
        "stream",
        HOST,
        converse_stream,
        b"".join([*EVENTS, *END]),
        expect(stream=True, tool_names=["get_weather"]),
        content_type=STREAM,
    ),
    Scenario(
        "exception within the stream",
        HOST,
        converse_stream,
        b"".join([*EVENTS[:2], exception("throttlingException", "Too many")]),
        expect(
            stream=True, input_tokens=None, output_tokens=None, error_type="throttlingException"
        ),
        content_type=STREAM,
        fails=True,
    ),
    Scenario(
        "throttled",
        HOST,
        converse,
        {"message": "Too many"},
        expect(input_tokens=None, output_tokens=None, error_type="ThrottlingException"),
        status=429,
        headers={"x-amzn-ErrorType": "ThrottlingException:http://internal.amazon.com/coral/"},
        fails=True,
    ),
]

ANTHROPIC_ASK = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "Weather?"}],
}
ANTHROPIC_PIECES = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_bdrk_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-20250514",
            "content": [],
            "usage": {"input_tokens": 30, "output_tokens": 1},
        },
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": "{}"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 12}},
    {
        "type": "message_stop",
        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 30, "outputTokenCount": 12},
    },
]
LLAMA = "meta.llama3-8b-instruct-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
TITAN = "amazon.titan-text-express-v1"
INVOKE = [
    Scenario(
        "Claude stream",
        HOST,
        lambda base: invoke_stream(base, CLAUDE, ANTHROPIC_ASK),
        b"".join(map(piece, ANTHROPIC_PIECES)),
        expect(
            stream=True,
            response_model="claude-sonnet-4-20250514",
            input_tokens=30,
            tool_names=["get_weather"],
        ),
        content_type=STREAM,
    ),
    Scenario(
        "Llama stream: counts of the prompt in the first piece alone",
        HOST,
        lambda base: invoke_stream(base, LLAMA, {"prompt": "Hi", "max_gen_len": 10}),
        b"".join(
            [
                piece({"generation": "He", "prompt_token_count": 5, "generation_token_count": 1}),
                piece({"generation": "y", "prompt_token_count": None, "generation_token_count": 2}),
                piece(
                    {
                        "generation": "",
                        "prompt_token_count": None,
                        "generation_token_count": 3,
                        "stop_reason": "stop",
                        "amazon-bedrock-invocationMetrics": {
                            "inputTokenCount": 5,
                            "outputTokenCount": 3,
                        },
                    }
                ),
            ]
        ),
        expect(stream=True, request_model=LLAMA, input_tokens=5, output_tokens=3),
        content_type=STREAM,
    ),
    Scenario(
        "Mistral: counts in headers alone",
        HOST,
        lambda base: invoke(base, "mistral.mistral-7b-instruct-v0:2", {"prompt": "Hi"}),
        {"outputs": [{"text": "Hey", "stop_reason": "stop"}]},
        expect(request_model="mistral.mistral-7b-instruct-v0:2", input_tokens=4, output_tokens=2),
        headers={
            "X-Amzn-Bedrock-Input-Token-Count": "4",
            "X-Amzn-Bedrock-Output-Token-Count": "2",
        },
    ),
    Scenario(
        "Titan is a completion",
        HOST,
        lambda base: invoke(base, TITAN, {"inputText": "Hi", "textGenerationConfig": {}}),
        {
            "inputTextTokenCount": 3,
            "results": [{"tokenCount": 6, "outputText": "Hello", "completionReason": "FINISH"}],
        },
        expect(operation="text_completion", request_model=TITAN, input_tokens=3, output_tokens=6),
    ),
    Scenario(
        "Nova",
        HOST,
        lambda base: invoke(
            base,
            NOVA,
            {"schemaVersion": "messages-v1", "messages": MESSAGES, "inferenceConfig": {}},
        ),
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Sunny"}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 8,
                "outputTokens": 2,
                "totalTokens": 10,
                "cacheReadInputTokenCount": 5,
                "cacheWriteInputTokenCount": 0,
            },
        },
        expect(request_model=NOVA, input_tokens=13, output_tokens=2),
    ),
    Scenario(
        "Titan embedding",
        HOST,
        lambda base: invoke(base, "amazon.titan-embed-text-v2:0", {"inputText": "Hi"}),
        {"embedding": [0.1], "inputTextTokenCount": 2},
        expect(
            operation="embeddings",
            request_model="amazon.titan-embed-text-v2:0",
            input_tokens=2,
            output_tokens=None,
        ),
    ),
]
FAMILIES = {"bedrock_converse": CONVERSE, "bedrock_invoke": INVOKE}
