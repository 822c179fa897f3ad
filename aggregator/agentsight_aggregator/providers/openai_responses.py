"""OpenAI Responses, and its compaction.

https://platform.openai.com/docs/api-reference/responses, …/responses-streaming
"""

from __future__ import annotations

from agentsight_aggregator.call import Message
from agentsight_aggregator.providers.drafts import (
    COMMON_PARAMETERS,
    Answer,
    Chunk,
    Parameter,
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
    other_part,
    reasoning_part,
    result_part,
    text_part,
)
from agentsight_aggregator.providers.openai_messages import read_parts
from agentsight_aggregator.providers.openai_usage import read_usage
from agentsight_aggregator.providers.payload import count, encode_json, record, records, text

_PARAMETERS: dict[str, Parameter] = {
    "max_output_tokens": COMMON_PARAMETERS["max_tokens"],
    "previous_response_id": ("gen_ai.request.previous_response.id", word),
    "service_tier": ("openai.request.service_tier", word),
}
_OUTPUT_TYPES = {"json_object": "json", "json_schema": "json", "text": "text"}
# Tools that the client runs, whose calls carry no name: the kind of the item is the name.
_NAMELESS_CALLS = frozenset({"local_shell_call", "shell_call", "computer_call", "apply_patch_call"})
_VOLATILE = frozenset({"status", "id", "created_by", "internal_chat_message_metadata_passthrough"})


def _read_request(body: dict[str, object]) -> Request:
    request = Request(
        model=text(body.get("model")),
        stream=body.get("stream") is True,
        conversation_id=_conversation(body),
        attributes=read_parameters(body, COMMON_PARAMETERS, _PARAMETERS),
        tools=tool_definitions(records(body.get("tools"))),
    )
    level = text(record(body.get("reasoning")).get("effort"))
    if level:
        request.attributes["gen_ai.request.reasoning.level"] = level
    output = _OUTPUT_TYPES.get(text(record(record(body.get("text")).get("format")).get("type")))
    if output:
        request.attributes["gen_ai.output.type"] = output
    if text(body.get("instructions")):
        request.system = build_message("system", [text_part(text(body["instructions"]))])
    given = body.get("input")
    if isinstance(given, str):
        request.messages = [build_message("user", [text_part(given)])]
    else:
        request.messages = read_items(records(given))
    return request


def _conversation(body: dict[str, object]) -> str:
    conversation = body.get("conversation")
    return text(conversation) or text(record(conversation).get("id"))


def read_items(items: list[dict[str, object]]) -> list[Message]:
    """Return items as messages; what the model made between two inputs is one message."""
    messages: list[Message] = []
    pending: list[Part] = []
    for item in items:
        role, parts = _read_item(item)
        if role == "assistant":
            pending += parts
            continue
        if pending:
            messages.append(build_message("assistant", pending))
            pending = []
        messages.append(build_message(role, parts))
    if pending:
        messages.append(build_message("assistant", pending))
    return messages


def _read_item(item: dict[str, object]) -> tuple[str, list[Part]]:
    kind = text(item.get("type")) or "message"
    if kind == "message":
        return text(item.get("role")) or "user", _read_content(item.get("content"))
    if kind in {"function_call", "custom_tool_call"}:
        arguments = item.get("arguments", item.get("input", ""))
        raw = arguments if isinstance(arguments, str) else encode_json(arguments)
        return "assistant", [call_part(_call_id(item), text(item.get("name")), raw)]
    if kind in _NAMELESS_CALLS:
        arguments = item.get("action") or item.get("actions") or item.get("operation") or {}
        name = kind.removesuffix("_call")
        return "assistant", [call_part(_call_id(item), name, encode_json(arguments))]
    if kind.endswith("_call_output"):
        return "tool", [_read_output(item)]
    return "assistant", [_read_other(kind, item)]


def _read_other(kind: str, item: dict[str, object]) -> Part:
    if kind == "reasoning":
        summaries = records(item.get("summary")) + records(item.get("content"))
        return reasoning_part("\n".join(text(s.get("text")) for s in summaries))
    if kind == "item_reference":
        return other_part(kind, item.get("id"))
    return other_part(kind, {k: v for k, v in item.items() if k not in _VOLATILE})


def _call_id(item: dict[str, object]) -> str:
    return text(item.get("call_id")) or text(item.get("id"))


def _read_output(item: dict[str, object]) -> Part:
    output = item.get("output")
    if isinstance(output, list):
        parts = read_parts(output)
        if parts and all(part["type"] == "text" for part in parts):
            output = "\n".join(str(part["content"]) for part in parts)
    return result_part(_call_id(item), "", output, is_error=item.get("status") == "failed")


def _read_content(content: object) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    parts: list[Part] = []
    for item in records(content):
        if item.get("type") == "refusal":
            parts.append(other_part("refusal", text(item.get("refusal"))))
        else:
            parts += read_parts([item])
    return parts


def _read_answer(body: dict[str, object]) -> Answer:
    answer = Answer()
    _take_response(answer, body)
    items = records(body.get("output"))
    if items:
        answer.messages = [_read_output_items(items)]
    return answer


def _read_output_items(items: list[dict[str, object]]) -> Message:
    parts = [part for item in items for part in _read_item(item)[1]]
    return build_message("assistant", parts)


def _take_response(answer: Answer, response: dict[str, object]) -> None:
    answer.model = text(response.get("model")) or answer.model
    answer.id = text(response.get("id")) or answer.id
    answer.conversation_id = _conversation(response) or answer.conversation_id
    if text(response.get("service_tier")):
        answer.attributes["openai.response.service_tier"] = text(response["service_tier"])
    if isinstance(response.get("usage"), dict):
        answer.usage = read_usage(response["usage"])
    status = text(response.get("status"))
    reason = text(record(response.get("incomplete_details")).get("reason"))
    if status in {"completed", "failed", "incomplete", "cancelled"}:
        answer.finish_reasons = [reason or status]
    if status == "failed":
        answer.failure = {"error": response.get("error") or {}}


_FINAL = frozenset(
    {"response.completed", "response.failed", "response.incomplete", "response.done"}
)


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = Answer(finished=False)
    items: dict[int | None, dict[str, object]] = {}
    for chunk in chunks:
        value = chunk.value
        kind = text(value.get("type")) or chunk.event
        if kind.endswith(".delta"):
            answer.content_offsets.append(chunk.offset)
        elif kind in {"response.output_item.added", "response.output_item.done"}:
            items[count(value.get("output_index"))] = record(value.get("item"))
        elif kind.startswith("response.") and "response" in value:
            response = record(value["response"])
            _take_response(answer, response)
            if kind in _FINAL:
                answer.finished = True
                # ChatGPT's own backend leaves `output` empty here.
                final = records(response.get("output"))
                items = {**dict(enumerate(final))} or items
    if items:
        answer.messages = [_read_output_items(list(items.values()))]
    return answer


RESPONSES = WireFormat(
    _read_request,
    _read_answer,
    _read_stream,
    proof=("input", "model", "previous_response_id", "prompt", "conversation"),
)
