"""Cohere Chat, versions 2 and 1.

https://docs.cohere.com/reference/chat, …/chat-stream, …/v1/reference/chat. Cohere counts twice:
`tokens` is what the model read and wrote, the cached ones and Cohere's own preamble included;
`billed_units` is what it charges. The first are the counts, the second make the price.
"""

from __future__ import annotations

from agentsight_aggregator.call import Message, Usage
from agentsight_aggregator.providers.drafts import (
    COMMON_PARAMETERS,
    Answer,
    Chunk,
    Parameter,
    Request,
    WireFormat,
    read_parameters,
    tool_definitions,
)
from agentsight_aggregator.providers.messages import (
    Part,
    build_message,
    call_part,
    result_part,
    text_part,
)
from agentsight_aggregator.providers.openai_messages import StreamedMessage, read_message
from agentsight_aggregator.providers.payload import count, encode_json, record, records, text

_PARAMETERS: dict[str, Parameter] = {
    "p": COMMON_PARAMETERS["top_p"],
    "k": COMMON_PARAMETERS["top_k"],
}
_V1_ROLES = {"CHATBOT": "assistant", "USER": "user", "SYSTEM": "system", "TOOL": "tool"}


def _read_request(body: dict[str, object]) -> Request:
    request = Request(
        model=text(body.get("model")),
        stream=body.get("stream") is True,
        attributes=read_parameters(body, COMMON_PARAMETERS, _PARAMETERS),
        messages=[_read_message(item) for item in records(body.get("messages"))],
        tools=tool_definitions(records(body.get("tools"))),
    )
    if record(body.get("response_format")).get("type") == "json_object":
        request.attributes["gen_ai.output.type"] = "json"
    return request


def _read_message(item: dict[str, object]) -> Message:
    role = text(item.get("role")) or "user"
    return read_message({**item, "role": role, "reasoning_content": item.get("tool_plan")})


def _set_usage(answer: Answer, value: object) -> None:
    usage = record(value)
    billed, consumed = record(usage.get("billed_units")), record(usage.get("tokens"))
    answer.usage = Usage(
        input_tokens=_first(consumed.get("input_tokens"), billed.get("input_tokens")),
        output_tokens=_first(consumed.get("output_tokens"), billed.get("output_tokens")),
        cache_read_tokens=count(usage.get("cached_tokens")),
    )
    if billed and consumed:
        answer.billed = Usage(
            input_tokens=count(billed.get("input_tokens")),
            output_tokens=count(billed.get("output_tokens")),
        )


def _first(*values: object) -> int | None:
    return next((value for value in map(count, values) if value is not None), None)


def _read_answer(body: dict[str, object]) -> Answer:
    reason = text(body.get("finish_reason"))
    answer = Answer(
        model=text(body.get("model")),
        id=text(body.get("id")),
        messages=[_read_message({"role": "assistant", **record(body.get("message"))})],
        finish_reasons=[reason] if reason else [],
    )
    _set_usage(answer, body.get("usage"))
    return answer


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = Answer(finished=False)
    streamed = StreamedMessage()
    for chunk in chunks:
        value = chunk.value
        kind = text(value.get("type")) or chunk.event
        delta = record(value.get("delta"))
        if kind == "message-start":
            answer.id = text(value.get("id"))
        elif kind == "message-end":
            _finish(answer, delta)
        elif streamed.add(_as_delta(value, record(delta.get("message")))):
            answer.content_offsets.append(chunk.offset)
    message = streamed.build()
    answer.messages = [message] if message.parts_json != "[]" else []
    return answer


def _as_delta(value: dict[str, object], message: dict[str, object]) -> dict[str, object]:
    """Return an event in the form of an OpenAI delta: its tool call has the index of the event."""
    content = record(message.get("content"))
    call = record(message.get("tool_calls"))
    return {
        "content": text(content.get("text")),
        "reasoning_content": text(message.get("tool_plan")) or text(content.get("thinking")),
        "tool_calls": [{**call, "index": value.get("index")}] if call else [],
    }


def _finish(answer: Answer, delta: dict[str, object]) -> None:
    reason = text(delta.get("finish_reason"))
    answer.finished = True
    answer.finish_reasons = [reason] if reason else []
    _set_usage(answer, delta.get("usage"))
    if reason.startswith("ERROR"):
        kind = text(delta.get("error_type")) or reason
        answer.failure = {"code": kind, "message": text(delta.get("error"))}


# ---- version 1 ----


def _read_v1_request(body: dict[str, object]) -> Request:
    request = _read_request(body)
    request.conversation_id = text(body.get("conversation_id"))
    if text(body.get("preamble")):
        request.system = build_message("system", [text_part(text(body["preamble"]))])
    request.messages = [_read_v1_message(item) for item in records(body.get("chat_history"))]
    results = [_read_v1_result(item) for item in records(body.get("tool_results"))]
    if results:
        request.messages.append(build_message("tool", results))
    words = text(body.get("message")) or text(body.get("prompt"))
    if words:
        request.messages.append(build_message("user", [text_part(words)]))
    return request


def _read_v1_message(item: dict[str, object]) -> Message:
    role = _V1_ROLES.get(text(item.get("role")).upper(), "user")
    parts: list[Part] = [_read_v1_result(result) for result in records(item.get("tool_results"))]
    if text(item.get("message")):
        parts.append(text_part(text(item["message"])))
    return build_message(role, parts + _v1_calls(item))


def _read_v1_result(item: dict[str, object]) -> Part:
    return result_part("", text(record(item.get("call")).get("name")), item.get("outputs"))


def _v1_calls(item: dict[str, object]) -> list[Part]:
    return [
        call_part("", text(call.get("name")), encode_json(call.get("parameters") or {}))
        for call in records(item.get("tool_calls"))
    ]


def _read_v1_answer(body: dict[str, object]) -> Answer:
    reason = text(body.get("finish_reason"))
    generations = records(body.get("generations"))
    words = text(body.get("text")) or "".join(text(item.get("text")) for item in generations)
    parts = [text_part(words)] if words else []
    answer = Answer(
        id=text(body.get("generation_id")) or text(body.get("id")),
        conversation_id=text(body.get("conversation_id")),
        messages=[build_message("assistant", parts + _v1_calls(body))],
        finish_reasons=[reason] if reason else [],
    )
    _set_usage(answer, body.get("meta"))
    return answer


def _read_v1_stream(chunks: list[Chunk]) -> Answer:
    """Take the whole answer from the last event; without it only the text is known."""
    offsets = [chunk.offset for chunk in chunks if text(chunk.value.get("text"))]
    for chunk in chunks:
        if chunk.value.get("event_type") == "stream-end" or chunk.value.get("is_finished") is True:
            answer = _read_v1_answer(record(chunk.value.get("response")) or chunk.value)
            answer.content_offsets = offsets
            return answer
    words = "".join(text(chunk.value.get("text")) for chunk in chunks)
    message = build_message("assistant", [text_part(words)])
    return Answer(messages=[message], finished=False, content_offsets=offsets)


CHAT = WireFormat(_read_request, _read_answer, _read_stream, proof=("messages",))
CHAT_V1 = WireFormat(_read_v1_request, _read_v1_answer, _read_v1_stream, proof=("message",))
