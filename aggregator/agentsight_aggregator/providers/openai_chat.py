"""OpenAI Chat Completions and legacy Completions, with what compatible hosts make of them.

https://platform.openai.com/docs/api-reference/chat, …/completions
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
    words,
)
from agentsight_aggregator.providers.messages import build_message, text_part
from agentsight_aggregator.providers.openai_messages import StreamedMessage, read_message
from agentsight_aggregator.providers.openai_usage import read_usage
from agentsight_aggregator.providers.payload import count, record, records, text, texts


def _choice_count(value: object) -> int | None:
    number = count(value)
    return number if number != 1 else None


PARAMETERS: dict[str, Parameter] = {
    "max_completion_tokens": COMMON_PARAMETERS["max_tokens"],
    "stop": ("gen_ai.request.stop_sequences", words),
    "n": ("gen_ai.request.choice.count", _choice_count),
    "random_seed": COMMON_PARAMETERS["seed"],
    "reasoning_effort": ("gen_ai.request.reasoning.level", word),
    "service_tier": ("openai.request.service_tier", word),
}
_OUTPUT_TYPES = {"json_object": "json", "json_schema": "json", "text": "text"}


def _read_request(body: dict[str, object]) -> Request:
    parameters = record(body.get("parameters"))
    request = Request(
        # Databricks and watsonx name it otherwise.
        model=text(body.get("model")) or text(body.get("model_id")),
        stream=body.get("stream") is True,
        attributes=read_parameters({**parameters, **body}, COMMON_PARAMETERS, PARAMETERS),
        messages=[_with_role(item) for item in records(body.get("messages"))],
        tools=tool_definitions(records(body.get("tools")) + records(body.get("functions"))),
    )
    output = _OUTPUT_TYPES.get(text(record(body.get("response_format")).get("type")))
    if output:
        request.attributes["gen_ai.output.type"] = output
    level = text(record(body.get("reasoning")).get("effort"))
    if level:
        request.attributes["gen_ai.request.reasoning.level"] = level
    return request


def _with_role(item: dict[str, object]) -> Message:
    return read_message({"role": "user", **item})


def _envelope(answer: Answer, body: dict[str, object]) -> None:
    """Take model, id, tier and usage, which answers and chunks have in the same places."""
    answer.model = answer.model or text(body.get("model")) or text(body.get("model_id"))
    answer.id = answer.id or text(body.get("id"))
    for key in ("service_tier", "system_fingerprint"):
        if text(body.get(key)):
            answer.attributes[f"openai.response.{key}"] = text(body[key])
    # Groq puts the usage of a stream here, unless include_usage asks for the usual place.
    groq = record(body.get("x_groq"))
    usage = body.get("usage") or groq.get("usage")
    if isinstance(usage, dict):
        answer.usage = read_usage(usage, answer.model)
    if groq.get("error"):
        answer.failure = {"error": groq["error"]}


def _read_answer(body: dict[str, object]) -> Answer:
    answer = Answer()
    _envelope(answer, body)
    for choice in records(body.get("choices")):
        answer.messages.append(read_message(record(choice.get("message"))))
        _take_failure(answer, choice)
        answer.finish_reasons.append(text(choice.get("finish_reason")))
    answer.finish_reasons = [reason for reason in answer.finish_reasons if reason]
    return answer


def _take_failure(answer: Answer, choice: dict[str, object]) -> None:
    """OpenRouter reports the failure of the provider behind it within the choice."""
    if isinstance(choice.get("error"), dict):
        answer.failure = choice
    elif choice.get("finish_reason") == "error":
        answer.failure = answer.failure or {"error": {"message": "the finish reason is error"}}


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = Answer(finished=False)
    choices: dict[int, StreamedMessage] = {}
    for chunk in chunks:
        _envelope(answer, chunk.value)
        for choice in records(chunk.value.get("choices")):
            streamed = choices.setdefault(count(choice.get("index")) or 0, StreamedMessage())
            if streamed.add(_delta_of(choice, streamed)):
                answer.content_offsets.append(chunk.offset)
            _take_failure(answer, choice)
            streamed.finish_reason = text(choice.get("finish_reason")) or streamed.finish_reason
    finished = [choice for choice in choices.values() if choice.finish_reason]
    answer.finished = bool(choices) and len(finished) == len(choices)
    for _, streamed in sorted(choices.items()):
        answer.messages.append(streamed.build())
        answer.finish_reasons.append(streamed.finish_reason or "error")
    return answer


def _delta_of(choice: dict[str, object], streamed: StreamedMessage) -> dict[str, object]:
    """Return the delta; a whole `message` counts only where nothing was streamed before it.

    Perplexity repeats the message so far beside each delta, MiniMax sends it once more at the end.
    """
    if "delta" in choice or streamed.has_content:
        return record(choice.get("delta"))
    return record(choice.get("message"))


def _read_completion_request(body: dict[str, object]) -> Request:
    request = _read_request(body)
    prompts = texts(body.get("prompt"))
    request.messages = [build_message("user", [text_part(prompt)]) for prompt in prompts]
    return request


def _read_completion(body: dict[str, object]) -> Answer:
    answer = Answer()
    _envelope(answer, body)
    for choice in records(body.get("choices")):
        message = record(choice.get("message"))
        content = text(choice.get("text")) or text(message.get("content"))
        answer.messages.append(build_message("assistant", [text_part(content)]))
        if text(choice.get("finish_reason")):
            answer.finish_reasons.append(text(choice["finish_reason"]))
    return answer


def _read_completion_stream(chunks: list[Chunk]) -> Answer:
    """Chunks of a completion have `text`; those of Mistral's FIM a `delta` like chat."""
    as_chat = [chunk._replace(value=_text_as_delta(chunk.value)) for chunk in chunks]
    return _read_stream(as_chat)


def _text_as_delta(value: dict[str, object]) -> dict[str, object]:
    choices = [
        {**choice, "delta": {"content": choice["text"]}} if "text" in choice else choice
        for choice in records(value.get("choices"))
    ]
    return {**value, "choices": choices}


CHAT = WireFormat(_read_request, _read_answer, _read_stream, proof=("messages", "model"))
COMPLETIONS = WireFormat(
    _read_completion_request,
    _read_completion,
    _read_completion_stream,
    proof=("prompt",),
)
