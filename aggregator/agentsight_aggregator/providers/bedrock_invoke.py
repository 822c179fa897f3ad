"""Bedrock InvokeModel: the body is the model's own format, so the model's maker chooses the reader.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html. Counts that a body lacks
are in the headers of the answer or in the metrics of the last chunk of a stream.
"""

from __future__ import annotations

from agentsight_core.endpoints import Endpoint

from agentsight_aggregator.call import Usage
from agentsight_aggregator.providers import (
    anthropic,
    anthropic_complete,
    bedrock,
    cohere,
    embeddings,
    openai_chat,
)
from agentsight_aggregator.providers import prompts as prompt_formats
from agentsight_aggregator.providers.drafts import Answer, Chunk, Request, WireFormat
from agentsight_aggregator.providers.payload import count, record, text


def choose_format(endpoint: Endpoint) -> WireFormat:
    """Return the readers for the model in the endpoint's path; unknown ones go by their bodies."""
    model = endpoint.model
    if endpoint.operation == "embeddings":
        return embeddings.GOOGLE
    if "amazon.nova" in model:
        chosen = bedrock.CONVERSE
    elif "anthropic" in model or "claude" in model:
        chosen = _BY_SHAPE_ANTHROPIC
    else:
        chosen = _BY_SHAPE
    return chosen._replace(read_stream=lambda chunks: _with_metrics(chosen, chunks))


def _with_metrics(wire: WireFormat, chunks: list[Chunk]) -> Answer:
    """Read a stream, and take from Bedrock's metrics the counts that the model did not give.

    Of a model that counts twice (Cohere) Bedrock's count holds, as it does in the headers of an
    answer in one piece.
    """
    answer = wire.read_stream(chunks)
    for chunk in chunks:
        if chunk.value.get("amazon-bedrock-guardrailAction") == "INTERVENED":
            # The guardrail's own message is the whole answer; no end mark follows.
            answer.finished = True
        metrics = record(chunk.value.get("amazon-bedrock-invocationMetrics"))
        if metrics:
            answer.finished = True
            unknown = answer.usage.input_tokens is None and answer.usage.output_tokens is None
            if unknown or answer.billed:
                answer.billed = None
                answer.usage = Usage(
                    input_tokens=count(metrics.get("inputTokenCount")),
                    output_tokens=count(metrics.get("outputTokenCount")),
                )
    return answer


def _of_request(body: dict[str, object]) -> WireFormat:
    if "anthropic_version" in body:
        return anthropic.MESSAGES
    if "inferenceConfig" in body or "schemaVersion" in body:
        return bedrock.CONVERSE
    if "messages" in body:
        return openai_chat.CHAT
    return cohere.CHAT_V1 if "message" in body else prompt_formats.PROMPT


def _of_answer(value: dict[str, object]) -> WireFormat:
    if text(value.get("type")) in {"message", "message_start"}:
        return anthropic.MESSAGES
    if "output" in value or "messageStart" in value:
        return bedrock.CONVERSE
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if "choices" in value and "text" not in record(first):
        return openai_chat.CHAT
    if "event_type" in value or "generation_id" in value:
        return cohere.CHAT_V1
    return prompt_formats.PROMPT


def _read_request(body: dict[str, object]) -> Request:
    return _of_request(body).read_request(body)


def _read_answer(value: dict[str, object]) -> Answer:
    return _of_answer(value).read_answer(value)


def _read_stream(chunks: list[Chunk]) -> Answer:
    return _of_answer(chunks[0].value if chunks else {}).read_stream(chunks)


def _read_old_claude(value: dict[str, object]) -> Answer:
    """Claude 2 answers to a prompt with a completion."""
    wire = anthropic_complete.COMPLETE if "completion" in value else anthropic.MESSAGES
    return wire.read_answer(value)


def _read_claude_request(body: dict[str, object]) -> Request:
    wire = anthropic.MESSAGES if "messages" in body else anthropic_complete.COMPLETE
    return wire.read_request(body)


def _read_claude_stream(chunks: list[Chunk]) -> Answer:
    old = any("completion" in chunk.value for chunk in chunks)
    return (anthropic_complete.COMPLETE if old else anthropic.MESSAGES).read_stream(chunks)


_BY_SHAPE = WireFormat(_read_request, _read_answer, _read_stream)
_BY_SHAPE_ANTHROPIC = WireFormat(_read_claude_request, _read_old_claude, _read_claude_stream)
