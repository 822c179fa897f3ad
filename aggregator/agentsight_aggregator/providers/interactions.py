"""Google's Interactions API, POST /v1/interactions.

https://ai.google.dev/gemini-api/docs/interactions; types of google-genai 3.4.0.
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

_PARAMETERS: dict[str, Parameter] = {
    **COMMON_PARAMETERS,
    "max_output_tokens": COMMON_PARAMETERS["max_tokens"],
    "thinking_level": ("gen_ai.request.reasoning.level", word),
    "previous_interaction_id": ("gen_ai.request.previous_response.id", word),
}
_MEDIA = frozenset({"image", "audio", "video", "document", "file"})


def _read_request(body: dict[str, object]) -> Request:
    config = record(body.get("generation_config"))
    request = Request(
        model=text(body.get("model")).removeprefix("models/") or text(body.get("agent")),
        stream=body.get("stream") is True,
        attributes=read_parameters({**body, **config}, _PARAMETERS),
        tools=tool_definitions(records(body.get("tools"))),
    )
    if text(body.get("system_instruction")):
        request.system = build_message("system", [text_part(text(body["system_instruction"]))])
    given = body.get("input")
    if isinstance(given, str):
        request.messages = [build_message("user", [text_part(given)])]
    else:
        steps = [given] if isinstance(given, dict) else records(given)
        request.messages = [_read_input(step) for step in steps]
    return request


def _read_input(step: dict[str, object]) -> Message:
    kind = text(step.get("type"))
    assistant = kind in {"model_output", "function_call", "thought"}
    role = text(step.get("role")) or ("assistant" if assistant else "user")
    return build_message(role, _read_step(step))


def _read_step(step: dict[str, object]) -> list[Part]:
    kind = text(step.get("type"))
    if kind == "function_call":
        arguments = step.get("arguments")
        raw = arguments if isinstance(arguments, str) else encode_json(arguments or {})
        return [call_part(text(step.get("id")), text(step.get("name")), raw)]
    if kind == "function_result":
        call_id, name = text(step.get("call_id")), text(step.get("name"))
        failed = step.get("is_error") is True
        return [result_part(call_id, name, step.get("result"), is_error=failed)]
    if kind == "thought":
        summary = records(step.get("summary"))
        return [reasoning_part("".join(text(item.get("text")) for item in summary))]
    return _read_content(kind, step)


def _read_content(kind: str, step: dict[str, object]) -> list[Part]:
    """Return what a step or a piece of content holds: text, media, or further pieces."""
    content = step.get("text") if kind == "text" else step.get("content")
    if isinstance(content, str):
        return [text_part(content)]
    if kind in _MEDIA:
        return [media_part(kind, step)]
    if isinstance(content, list):
        return [part for item in records(content) for part in _read_step(item)]
    return [other_part(kind, step)]


def _read_answer(body: dict[str, object]) -> Answer:
    answer = Answer()
    _take(answer, body)
    return answer


def _take(answer: Answer, body: dict[str, object]) -> None:
    answer.model = text(body.get("model")).removeprefix("models/") or answer.model
    answer.id = text(body.get("id")) or answer.id
    usage = record(body.get("usage"))
    if usage:
        answer.usage = _read_usage(usage)
    # `outputs` in the first version of the API.
    steps = records(body.get("steps")) or records(body.get("outputs"))
    _take_steps(answer, steps)
    status = text(body.get("status"))
    if status and status not in {"in_progress", "queued"}:
        answer.finish_reasons = [status]
    if status == "failed":
        errors = records(body.get("errors"))
        answer.failure = {"error": errors[0] if errors else record(body.get("error"))}


def _take_steps(answer: Answer, steps: list[dict[str, object]]) -> None:
    made = [
        step for step in steps if text(step.get("type")) not in {"user_input", "function_result"}
    ]
    parts = [part for step in made for part in _read_step(step)]
    if parts:
        answer.messages = [build_message("assistant", parts)]


def _read_usage(usage: dict[str, object]) -> Usage:
    thoughts = count(usage.get("total_thought_tokens"))
    return Usage(
        input_tokens=total(
            count(usage.get("total_input_tokens")), count(usage.get("total_tool_use_tokens"))
        ),
        output_tokens=total(count(usage.get("total_output_tokens")), thoughts),
        cache_read_tokens=count(usage.get("total_cached_tokens")),
        reasoning_tokens=thoughts,
    )


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = Answer(finished=False)
    steps: dict[int | None, dict[str, object]] = {}
    for chunk in chunks:
        kind = text(chunk.value.get("event_type")) or chunk.event
        index = count(chunk.value.get("index"))
        if kind in {"step.start", "content.start"}:
            steps[index] = dict(record(chunk.value.get("step") or chunk.value.get("content")))
        elif kind in {"step.delta", "content.delta"}:
            answer.content_offsets.append(chunk.offset)
            _add_delta(steps.setdefault(index, {}), record(chunk.value.get("delta")))
        elif kind.startswith("interaction."):
            _take(answer, record(chunk.value.get("interaction")))
            answer.finished = answer.finished or kind in {
                "interaction.completed",
                "interaction.complete",
                "interaction.failed",
                "interaction.requires_action",
            }
    if not answer.messages:
        _take_steps(answer, list(steps.values()))
    return answer


def _add_delta(step: dict[str, object], delta: dict[str, object]) -> None:
    """Append a delta to its step: text, a thought's summary, or a call's arguments as JSON text."""
    kind = text(delta.get("type"))
    if kind in {"arguments_delta", "function_call"}:
        whole = step.get("arguments")
        more = delta.get("arguments")
        if isinstance(more, str):
            step["arguments"] = (whole if isinstance(whole, str) else "") + more
        else:
            step.update({key: value for key, value in delta.items() if value is not None})
    elif kind == "text":
        content = records(step.get("content"))
        last = text(content[-1].get("text")) if content else ""
        step["type"] = text(step.get("type")) or "model_output"
        step["content"] = [{"type": "text", "text": last + text(delta.get("text"))}]
    elif kind == "thought_summary":
        step["summary"] = [*records(step.get("summary")), record(delta.get("content"))]


INTERACTIONS = WireFormat(
    _read_request, _read_answer, _read_stream, proof=("model", "agent", "input")
)
