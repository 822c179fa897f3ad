"""Anthropic Messages, also inside Bedrock invoke and Vertex AI rawPredict.

https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterable

from agentsight_aggregator.call import Message, Usage
from agentsight_aggregator.providers.drafts import (
    COMMON_PARAMETERS,
    Answer,
    Chunk,
    Request,
    WireFormat,
    read_parameters,
    tool_definitions,
    word,
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
    record,
    records,
    text,
    total,
)

_PARAMETERS = {"service_tier": ("anthropic.request.service_tier", word)}
_MEDIA = frozenset({"image", "document", "container_upload"})


def _read_request(body: dict[str, object]) -> Request:
    request = Request(
        model=text(body.get("model")),
        stream=body.get("stream") is True,
        attributes=read_parameters(body, COMMON_PARAMETERS, _PARAMETERS),
        messages=[_read_message(item) for item in records(body.get("messages"))],
        tools=tool_definitions(records(body.get("tools"))),
    )
    level = text(record(body.get("output_config")).get("effort"))
    if level:
        request.attributes["gen_ai.request.reasoning.level"] = level
    system = _read_parts(body.get("system"))
    if system:
        request.system = build_message("system", system)
    return request


def _read_message(item: dict[str, object]) -> Message:
    return build_message(text(item.get("role")), _read_parts(item.get("content")))


def _read_parts(content: object) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_read_block(block) for block in records(content)]


def _read_block(block: dict[str, object]) -> Part:
    kind = text(block.get("type"))
    if kind == "text":
        return text_part(text(block.get("text")))
    if kind in {"thinking", "redacted_thinking"}:
        return reasoning_part(text(block.get("thinking")))
    if kind == "tool_use":
        arguments = block.get("input")
        raw = arguments if isinstance(arguments, str) else encode_json(arguments or {})
        return call_part(text(block.get("id")), text(block.get("name")), raw)
    if kind == "tool_result":
        return result_part(
            text(block.get("tool_use_id")),
            "",
            _result_content(block.get("content")),
            is_error=block.get("is_error") is True,
        )
    if kind in _MEDIA:
        return media_part(kind, block.get("source"))
    return other_part(kind, {k: v for k, v in block.items() if k != "cache_control"})


def _result_content(content: object) -> object:
    """Text where the result is text alone, else the parts."""
    if isinstance(content, str):
        return content
    parts = _read_parts(content)
    if all(part["type"] == "text" for part in parts):
        return "\n".join(str(part["content"]) for part in parts)
    return parts


def _read_answer(body: dict[str, object]) -> Answer:
    reason = text(body.get("stop_reason"))
    answer = Answer(
        model=text(body.get("model")),
        id=text(body.get("id")),
        messages=[build_message("assistant", _read_parts(body.get("content")))],
        finish_reasons=[reason] if reason else [],
    )
    usage = record(body.get("usage"))
    _set_usage(answer, [usage], usage)
    return answer


def _set_usage(
    answer: Answer, counts: Iterable[dict[str, object]], last: dict[str, object]
) -> None:
    """Set token counts: `input_tokens` on the wire excludes what the cache gave and took.

    Counts are cumulative. The last usage that states the input states all of it, zeros too: after a
    compaction the cache is read no more. Some hosts repeat zeros at the end of a stream: those say
    nothing, and the greatest of what came before holds. `last` is where output counts are final.
    """
    seen = list(counts)
    restated = next((usage for usage in reversed(seen) if count(usage.get("input_tokens"))), {})

    def newest(key: str) -> int | None:
        value = count(restated.get(key))
        if value is not None:
            return value
        known = [value for value in (count(usage.get(key)) for usage in seen) if value is not None]
        return max(known, default=None)

    cache_read = newest("cache_read_input_tokens")
    cache_write = newest("cache_creation_input_tokens")
    details = record(last.get("output_tokens_details"))
    answer.usage = Usage(
        input_tokens=total(newest("input_tokens"), cache_read, cache_write),
        output_tokens=count(last.get("output_tokens")),
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        reasoning_tokens=count(details.get("thinking_tokens")),
    )
    for usage in seen:
        if text(usage.get("service_tier")):
            answer.attributes["anthropic.response.service_tier"] = text(usage["service_tier"])


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = Answer(finished=False)
    blocks: dict[int | None, dict[str, object]] = {}
    pieces: dict[int | None, list[str]] = {}
    usages: list[dict[str, object]] = []
    final: dict[str, object] = {}
    for chunk in chunks:
        value = chunk.value
        kind = text(value.get("type")) or chunk.event
        if kind == "message_start":
            _start(answer, record(value.get("message")), usages)
        elif kind == "content_block_start":
            blocks[count(value.get("index"))] = dict(record(value.get("content_block")))
        elif kind == "content_block_delta":
            answer.content_offsets.append(chunk.offset)
            _add_delta(value, blocks, pieces)
        elif kind == "message_delta":
            usage = record(value.get("usage"))
            usages.append(usage)
            final = {**final, **{k: v for k, v in usage.items() if v is not None}}
            _stop(answer, record(value.get("delta")))
        elif kind == "message_stop":
            answer.finished = True
            _add_bedrock_metrics(value, usages)
    if answer.finished and "output_tokens" not in final and usages:
        final = {**usages[0], **final}
    parts = [_read_block(_joined(block, pieces.get(index))) for index, block in blocks.items()]
    answer.messages = [build_message("assistant", parts)] if parts else []
    _set_usage(answer, usages, final)
    return answer


def _start(answer: Answer, message: dict[str, object], usages: list[dict[str, object]]) -> None:
    answer.model = text(message.get("model")) or answer.model
    answer.id = text(message.get("id")) or answer.id
    usages.append(record(message.get("usage")))


def _stop(answer: Answer, delta: dict[str, object]) -> None:
    reason = text(delta.get("stop_reason"))
    if reason:
        answer.finish_reasons = [reason]
        answer.finished = True


def _add_bedrock_metrics(value: dict[str, object], usages: list[dict[str, object]]) -> None:
    """Bedrock's own count stands in when the model's stream had none."""
    metrics = record(value.get("amazon-bedrock-invocationMetrics"))
    if metrics and not any("input_tokens" in usage for usage in usages):
        usages.append(
            {
                "input_tokens": metrics.get("inputTokenCount"),
                "output_tokens": metrics.get("outputTokenCount"),
            }
        )


_DELTA_FIELDS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
}


def _add_delta(
    value: dict[str, object],
    blocks: dict[int | None, dict[str, object]],
    pieces: dict[int | None, list[str]],
) -> None:
    delta = record(value.get("delta"))
    kind = text(delta.get("type"))
    field = _DELTA_FIELDS.get(kind)
    if field is None:
        return
    index = count(value.get("index"))
    if index not in blocks:
        # The block's start is missing from the capture.
        blocks[index] = {"type": kind.removesuffix("_delta")}
    pieces.setdefault(index, []).append(text(delta.get(field)))


def _joined(block: dict[str, object], pieces: list[str] | None) -> dict[str, object]:
    """Return `block` as it would have come in one piece."""
    whole = "".join(pieces or ())
    if not whole:
        return block
    kind = text(block.get("type"))
    if kind in {"text", "thinking"}:
        return {**block, kind: text(block.get(kind)) + whole}
    return {**block, "input": whole}


MESSAGES = WireFormat(_read_request, _read_answer, _read_stream, proof=("messages",))
