"""Google Gemini generateContent: Gemini API, Vertex AI, and the wrapped form of Gemini CLI.

https://ai.google.dev/api/generate-content. The model is in the path; the wrapped form has it in the
body.
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
from agentsight_aggregator.providers.gemini_calls import join_calls
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


def _candidates(value: object) -> int | None:
    wanted = count(value)
    return wanted if wanted != 1 else None


_PARAMETERS: dict[str, Parameter] = {
    "temperature": ("gen_ai.request.temperature", number),
    "topP": ("gen_ai.request.top_p", number),
    "topK": ("gen_ai.request.top_k", count),
    "maxOutputTokens": ("gen_ai.request.max_tokens", count),
    "frequencyPenalty": ("gen_ai.request.frequency_penalty", number),
    "presencePenalty": ("gen_ai.request.presence_penalty", number),
    "seed": ("gen_ai.request.seed", count),
    "stopSequences": ("gen_ai.request.stop_sequences", words),
    "candidateCount": ("gen_ai.request.choice.count", _candidates),
}
# Numbers that the enumerations of the Gemini API and of Vertex AI share.
_FINISH_REASONS = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION"}
_OUTPUT_TYPES = {"application/json": "json", "text/plain": "text"}


def _either(fields: dict[str, object], camel: str, snake: str) -> object:
    """Protobuf's JSON mapping takes both spellings of a field."""
    return fields[camel] if camel in fields else fields.get(snake)


def _read_request(body: dict[str, object]) -> Request:
    inner = record(body.get("request")) or body
    config = record(_either(inner, "generationConfig", "generation_config"))
    request = Request(
        model=text(body.get("model")).rpartition("/")[2] if inner is not body else "",
        attributes=read_parameters(config, _PARAMETERS),
        messages=[_read_content(item) for item in _contents(inner.get("contents"))],
        tools=tool_definitions(records(inner.get("tools"))),
    )
    output = _OUTPUT_TYPES.get(text(_either(config, "responseMimeType", "response_mime_type")))
    if output:
        request.attributes["gen_ai.output.type"] = output
    level = text(record(config.get("thinkingConfig")).get("thinkingLevel"))
    if level:
        request.attributes["gen_ai.request.reasoning.level"] = level
    system = record(_either(inner, "systemInstruction", "system_instruction"))
    if system:
        request.system = build_message("system", _read_parts(system))
    return request


def _contents(value: object) -> list[dict[str, object]]:
    return [value] if isinstance(value, dict) else records(value)


def _read_content(content: dict[str, object]) -> Message:
    return build_message(text(content.get("role")) or "user", _read_parts(content))


def _read_parts(content: dict[str, object]) -> list[Part]:
    return [_read_part(part) for part in _parts_of(content)]


def _parts_of(content: dict[str, object]) -> list[dict[str, object]]:
    parts = content.get("parts")
    return [parts] if isinstance(parts, dict) else records(parts)


def _read_part(part: dict[str, object]) -> Part:
    if isinstance(part.get("text"), str):
        content = text(part["text"])
        return reasoning_part(content) if part.get("thought") is True else text_part(content)
    call = record(_either(part, "functionCall", "function_call"))
    if call:
        arguments = encode_json(call.get("args") or {})
        return call_part(text(call.get("id")), text(call.get("name")), arguments)
    result = record(_either(part, "functionResponse", "function_response"))
    if result:
        response = result.get("response")
        failed = set(record(response)) == {"error"}
        name, call_id = text(result.get("name")), text(result.get("id"))
        return result_part(call_id, name, response, is_error=failed)
    data = _either(part, "inlineData", "inline_data") or _either(part, "fileData", "file_data")
    if data:
        mime = text(_either(record(data), "mimeType", "mime_type"))
        return media_part(mime.partition("/")[0] or "file", data)
    kept = {k: v for k, v in part.items() if k != "thoughtSignature"}
    return other_part(next(iter(kept), ""), kept)


def _read_answer(body: dict[str, object]) -> Answer:
    return _read_stream([Chunk(0, "", body)])


def _read_stream(chunks: list[Chunk]) -> Answer:
    """Chunks are whole answers with the next part of the content; usage is restated, last wins."""
    answer = Answer(finished=False)
    usage: dict[str, object] = {}
    parts: dict[int, list[dict[str, object]]] = {}
    reasons: dict[int, str] = {}
    for chunk in chunks:
        # Gemini CLI's backend wraps each answer.
        value = record(chunk.value.get("response")) or chunk.value
        answer.model = text(value.get("modelVersion")) or answer.model
        answer.id = text(value.get("responseId")) or answer.id
        usage.update(record(value.get("usageMetadata")))
        for position, candidate in enumerate(records(value.get("candidates"))):
            index = count(candidate.get("index"))
            index = position if index is None else index
            new = _parts_of(record(candidate.get("content")))
            parts.setdefault(index, []).extend(new)
            if new:
                answer.content_offsets.append(chunk.offset)
            reason = _finish_reason(candidate.get("finishReason"))
            if reason:
                reasons[index] = reason
        blocked = text(record(value.get("promptFeedback")).get("blockReason"))
        if blocked:
            answer.finish_reasons = [blocked]
    answer.finished = bool(reasons) or bool(answer.finish_reasons)
    for index in sorted(parts):
        read = [_read_part(part) for part in join_calls(parts[index])]
        answer.messages.append(build_message("assistant", _joined(read)))
    answer.usage = _read_usage(usage)
    answer.finish_reasons += [reasons[index] for index in sorted(reasons)]
    return answer


def _finish_reason(value: object) -> str:
    """Return the name of a reason; with `$alt=json;enum-encoding=int` it comes as its number."""
    code = count(value)
    if code:
        return _FINISH_REASONS.get(code, str(code))
    reason = text(value)
    return "" if reason == "FINISH_REASON_UNSPECIFIED" else reason


def _joined(parts: list[Part]) -> list[Part]:
    """Join neighbouring pieces of text and of reasoning."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and last["type"] == part["type"] and part["type"] in {"text", "reasoning"}:
            joined[-1] = {**last, "content": f"{last['content']}{part['content']}"}
        else:
            joined.append(part)
    return joined


def _read_usage(usage: dict[str, object]) -> Usage:
    """Return the counts in OTel's sense.

    promptTokenCount includes the cache, candidatesTokenCount excludes thoughts, and the prompt of a
    built-in tool is counted apart.
    """
    thoughts = count(usage.get("thoughtsTokenCount"))
    prompt = count(usage.get("promptTokenCount"))
    tool_prompt = count(usage.get("toolUsePromptTokenCount"))
    return Usage(
        input_tokens=total(prompt, tool_prompt),
        output_tokens=total(count(usage.get("candidatesTokenCount")), thoughts),
        cache_read_tokens=count(usage.get("cachedContentTokenCount")),
        reasoning_tokens=thoughts,
    )


GENERATE = WireFormat(_read_request, _read_answer, _read_stream)
