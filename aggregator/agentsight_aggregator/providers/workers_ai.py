"""Cloudflare Workers AI, POST …/ai/run/{model}, also behind Cloudflare's gateway.

https://developers.cloudflare.com/workers-ai/. The model is in the path, the answer in `result`, in
a form of its own or in OpenAI's.
"""

from __future__ import annotations

from agentsight_aggregator.providers import openai_chat
from agentsight_aggregator.providers.drafts import Answer, Chunk, Request, WireFormat
from agentsight_aggregator.providers.messages import build_message, text_part
from agentsight_aggregator.providers.payload import record, records, text


def _read_request(body: dict[str, object]) -> Request:
    request = openai_chat.CHAT.read_request(body)
    if text(body.get("prompt")):
        request.messages = [build_message("user", [text_part(text(body["prompt"]))])]
    return request


def _read_answer(body: dict[str, object]) -> Answer:
    result = record(body.get("result")) or body
    if "choices" not in result:
        result = {**result, "choices": [{"message": _message(result), "finish_reason": ""}]}
    return openai_chat.CHAT.read_answer(result)


def _read_stream(chunks: list[Chunk]) -> Answer:
    """Chunks hold the next words; the stream ends with [DONE] and has no reason of its own."""
    as_chat = [chunk._replace(value=_as_chat(chunk.value)) for chunk in chunks]
    answer = openai_chat.CHAT.read_stream(as_chat)
    answer.finish_reasons = [reason for reason in answer.finish_reasons if reason != "error"]
    return answer


def _as_chat(value: dict[str, object]) -> dict[str, object]:
    if "choices" in value or "error" in value:
        return value
    return {**value, "choices": [{"delta": _message(value)}]}


def _message(result: dict[str, object]) -> dict[str, object]:
    calls = records(result.get("tool_calls"))
    return {"role": "assistant", "content": result.get("response"), "tool_calls": calls}


RUN = WireFormat(_read_request, _read_answer, _read_stream)
