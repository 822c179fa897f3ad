"""Bedrock Converse and ConverseStream.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. The model is
in the path alone. `inputTokens` excludes what the cache gave and took.
"""

from __future__ import annotations

from agentsight_aggregator.call import Message, Usage
from agentsight_aggregator.providers.drafts import (
    Answer,
    Chunk,
    Parameter,
    Request,
    WireFormat,
    read_parameters,
    tool_definitions,
    words,
)
from agentsight_aggregator.providers.messages import (
    Part,
    build_message,
    call_part,
    media_part,
    other_part,
    reasoning_part,
    result_part,
    text_part,
)
from agentsight_aggregator.providers.payload import (
    count,
    encode_json,
    number,
    record,
    records,
    text,
    total,
)

_PARAMETERS: dict[str, Parameter] = {
    "temperature": ("gen_ai.request.temperature", number),
    "topP": ("gen_ai.request.top_p", number),
    "maxTokens": ("gen_ai.request.max_tokens", count),
    "stopSequences": ("gen_ai.request.stop_sequences", words),
}
_MEDIA = ("image", "document", "video", "audio")


def _read_request(body: dict[str, object]) -> Request:
    request = Request(
        attributes=read_parameters(record(body.get("inferenceConfig")), _PARAMETERS),
        messages=[_read_message(item) for item in records(body.get("messages"))],
        tools=tool_definitions(records(record(body.get("toolConfig")).get("tools"))),
    )
    guardrail = text(record(body.get("guardrailConfig")).get("guardrailIdentifier"))
    if guardrail:
        request.attributes["aws.bedrock.guardrail.id"] = guardrail
    system = _read_parts(body.get("system"))
    if system:
        request.system = build_message("system", system)
    return request


def _read_message(item: dict[str, object]) -> Message:
    return build_message(text(item.get("role")) or "user", _read_parts(item.get("content")))


def _read_parts(content: object) -> list[Part]:
    return [_read_block(block) for block in records(content) if "cachePoint" not in block]


def _read_block(block: dict[str, object]) -> Part:
    if "text" in block:
        return text_part(text(block["text"]))
    if "toolUse" in block:
        return _tool_use(record(block["toolUse"]))
    if "toolResult" in block:
        result = record(block["toolResult"])
        content = [_result_item(item) for item in records(result.get("content"))]
        return result_part(
            text(result.get("toolUseId")),
            "",
            content[0] if len(content) == 1 else content,
            is_error=result.get("status") == "error",
        )
    if "reasoningContent" in block:
        reasoning = record(record(block["reasoningContent"]).get("reasoningText"))
        return reasoning_part(text(reasoning.get("text")))
    kind = next((kind for kind in _MEDIA if kind in block), "")
    return media_part(kind, block) if kind else other_part(next(iter(block), ""), block)


def _tool_use(use: dict[str, object]) -> Part:
    if use.get("type") == "server_tool_use":
        return other_part("server_tool_call", use)
    arguments = use.get("input")
    raw = arguments if isinstance(arguments, str) else encode_json(arguments or {})
    return call_part(text(use.get("toolUseId")), text(use.get("name")), raw)


def _result_item(item: dict[str, object]) -> object:
    if "text" in item:
        return item["text"]
    return item["json"] if "json" in item else _read_block(item)


def read_usage(value: object) -> Usage:
    """Return the counts of a `usage` object of Converse, or of Nova's answers."""
    usage = record(value)
    cache_read = _either(usage, "cacheReadInputTokens", "cacheReadInputTokenCount")
    cache_write = _either(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return Usage(
        input_tokens=total(count(usage.get("inputTokens")), cache_read, cache_write),
        output_tokens=count(usage.get("outputTokens")),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
    )


def _either(usage: dict[str, object], first: str, second: str) -> int | None:
    value = count(usage.get(first))
    return count(usage.get(second)) if value is None else value


def _read_answer(body: dict[str, object]) -> Answer:
    message = record(record(body.get("output")).get("message"))
    reason = text(body.get("stopReason"))
    return Answer(
        model=_routed_model(body),
        messages=[_read_message({"role": "assistant", **message})],
        finish_reasons=[reason] if reason else [],
        usage=read_usage(body.get("usage")),
    )


def _routed_model(body: dict[str, object]) -> str:
    """Return the model that a prompt router chose; else the answer names none."""
    trace = record(record(body.get("trace")).get("promptRouter"))
    return text(trace.get("invokedModelId"))


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = Answer(finished=False)
    blocks: dict[int | None, dict[str, object]] = {}
    for chunk in chunks:
        # InvokeModel with Nova wraps the same events in an object named after the event.
        kind, value = _unwrapped(chunk)
        index = count(value.get("contentBlockIndex"))
        if kind == "contentBlockStart":
            blocks[index] = dict(record(value.get("start")))
        elif kind == "contentBlockDelta":
            answer.content_offsets.append(chunk.offset)
            _add_delta(blocks.setdefault(index, {}), record(value.get("delta")))
        elif kind == "messageStop":
            reason = text(value.get("stopReason"))
            answer.finish_reasons = [reason] if reason else []
            answer.finished = True
        elif kind == "metadata":
            answer.usage = read_usage(value.get("usage"))
            answer.model = _routed_model(value)
    parts = [_read_block(block) for block in blocks.values()]
    answer.messages = [build_message("assistant", parts)] if parts else []
    return answer


def _unwrapped(chunk: Chunk) -> tuple[str, dict[str, object]]:
    if chunk.event not in {"", "chunk"}:
        return chunk.event, chunk.value
    kind = next((key for key in chunk.value if not key.startswith("amazon-")), "")
    return kind, record(chunk.value.get(kind))


def _add_delta(block: dict[str, object], delta: dict[str, object]) -> None:
    """Append a delta to its block: text, the JSON text of a tool's input, or reasoning."""
    if "text" in delta:
        block["text"] = text(block.get("text")) + text(delta["text"])
    elif "toolUse" in delta:
        use = record(block.get("toolUse"))
        more = text(record(delta["toolUse"]).get("input"))
        block["toolUse"] = {**use, "input": text(use.get("input")) + more}
    elif "reasoningContent" in delta:
        inner = record(record(block.get("reasoningContent")).get("reasoningText"))
        more = text(record(delta["reasoningContent"]).get("text"))
        whole = {"text": text(inner.get("text")) + more}
        block["reasoningContent"] = {"reasoningText": whole}


CONVERSE = WireFormat(_read_request, _read_answer, _read_stream)
