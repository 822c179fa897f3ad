"""Ollama's own API: /api/chat and /api/generate, streaming unless told otherwise.

https://docs.ollama.com/api, https://docs.ollama.com/api/streaming
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
    words,
)
from agentsight_aggregator.providers.messages import (
    Part,
    build_message,
    call_part,
    media_part,
    reasoning_part,
    result_part,
    text_part,
)
from agentsight_aggregator.providers.payload import count, encode_json, record, records, text

_OPTIONS: dict[str, Parameter] = {
    **COMMON_PARAMETERS,
    "num_predict": COMMON_PARAMETERS["max_tokens"],
    "stop": ("gen_ai.request.stop_sequences", words),
}


def _read_request(body: dict[str, object]) -> Request:
    request = Request(
        model=text(body.get("model")),
        stream=body.get("stream") is not False,
        attributes=read_parameters(record(body.get("options")), _OPTIONS),
        messages=[_read_message(item) for item in records(body.get("messages"))],
        tools=tool_definitions(records(body.get("tools"))),
    )
    if body.get("format"):
        request.attributes["gen_ai.output.type"] = "json"
    if isinstance(body.get("think"), str):
        request.attributes["gen_ai.request.reasoning.level"] = text(body["think"])
    if text(body.get("system")):
        request.system = build_message("system", [text_part(text(body["system"]))])
    if text(body.get("prompt")):
        parts = [text_part(text(body["prompt"])), *_images(body)]
        request.messages = [build_message("user", parts)]
    return request


def _images(item: dict[str, object]) -> list[Part]:
    images = item.get("images")
    return [media_part("image", image) for image in images] if isinstance(images, list) else []


def _read_message(item: dict[str, object]) -> Message:
    role = text(item.get("role")) or "user"
    content = text(item.get("content"))
    if role == "tool":
        name = text(item.get("tool_name")) or text(item.get("name"))
        return build_message("tool", [result_part(text(item.get("tool_call_id")), name, content)])
    return build_message(role, [*_content_parts(item), *_images(item)])


def _content_parts(message: dict[str, object]) -> list[Part]:
    thinking, content = text(message.get("thinking")), text(message.get("content"))
    parts = [reasoning_part(thinking)] if thinking else []
    parts += [text_part(content)] if content else []
    for call in records(message.get("tool_calls")):
        function = record(call.get("function"))
        arguments = encode_json(function.get("arguments") or {})
        parts.append(call_part(text(call.get("id")), text(function.get("name")), arguments))
    return parts


def _read_answer(body: dict[str, object]) -> Answer:
    return _read_stream([Chunk(0, "", body)])


def _read_stream(chunks: list[Chunk]) -> Answer:
    """Each chunk has the next piece of the message; the last one says done and has the counts."""
    answer = Answer(finished=False)
    whole: dict[str, list[str]] = {"content": [], "thinking": []}
    calls: list[object] = []
    for chunk in chunks:
        value = chunk.value
        # /api/generate has the same fields without the message around them.
        message = record(value.get("message")) or {**value, "content": value.get("response")}
        answer.model = text(value.get("model")) or answer.model
        for key, pieces in whole.items():
            pieces.append(text(message.get(key)))
        new_calls = records(message.get("tool_calls"))
        calls += new_calls
        if new_calls or text(message.get("content")) or text(message.get("thinking")):
            answer.content_offsets.append(chunk.offset)
        if value.get("done") is True:
            _finish(answer, value)
    fields: dict[str, object] = {key: "".join(pieces) for key, pieces in whole.items()}
    parts = _content_parts({**fields, "tool_calls": calls})
    if parts:
        answer.messages = [build_message("assistant", parts)]
    return answer


def _finish(answer: Answer, value: dict[str, object]) -> None:
    reason = text(value.get("done_reason"))
    answer.finished = True
    answer.finish_reasons = [reason] if reason else []
    # An empty request loads or unloads the model.
    answer.is_no_call = reason in {"load", "unload"}
    answer.usage = Usage(
        input_tokens=count(value.get("prompt_eval_count")),
        output_tokens=count(value.get("eval_count")),
    )


CHAT = WireFormat(_read_request, _read_answer, _read_stream, proof=("model",))
