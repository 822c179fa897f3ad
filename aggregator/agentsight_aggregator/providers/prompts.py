"""Formats of a prompt and its continuation: older models on Bedrock, watsonx, llama.cpp, TGI.

They differ in the names of a few fields only, which do not clash, so one reader knows them all.
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html (Titan, Llama, Mistral,
Command, Jurassic), https://cloud.ibm.com/apidocs/watsonx-ai, the README of llama.cpp's server,
https://huggingface.co/docs/text-generation-inference
"""

from __future__ import annotations

from agentsight_aggregator.call import Usage
from agentsight_aggregator.providers.drafts import (
    COMMON_PARAMETERS,
    Answer,
    Chunk,
    Parameter,
    Request,
    WireFormat,
    read_parameters,
    words,
)
from agentsight_aggregator.providers.messages import build_message, text_part
from agentsight_aggregator.providers.payload import count, number, record, records, text

_MAX = COMMON_PARAMETERS["max_tokens"]
_PARAMETERS: dict[str, Parameter] = {
    **COMMON_PARAMETERS,
    "max_gen_len": _MAX,
    "max_new_tokens": _MAX,
    "maxTokenCount": _MAX,
    "maxTokens": _MAX,
    "n_predict": _MAX,
    "topP": ("gen_ai.request.top_p", number),
    "p": COMMON_PARAMETERS["top_p"],
    "k": COMMON_PARAMETERS["top_k"],
    "stop": ("gen_ai.request.stop_sequences", words),
    "stopSequences": ("gen_ai.request.stop_sequences", words),
}
_PROMPTS = ("prompt", "inputText", "input", "inputs", "input_prefix")
_TEXTS = ("generation", "outputText", "generated_text", "completion", "text", "content")
_REASONS = ("stop_reason", "completionReason", "finish_reason", "finishReason", "stop_type")
_INPUT_COUNTS = (
    "prompt_token_count",
    "inputTextTokenCount",
    "input_token_count",
    "tokens_evaluated",
    "inputTokenCount",
)
_OUTPUT_COUNTS = (
    "generation_token_count",
    "totalOutputTextTokenCount",
    "tokenCount",
    "generated_token_count",
    "generated_tokens",
    "tokens_predicted",
    "outputTokenCount",
)
# Where the fields are when they are not at the top.
_LISTS = ("results", "outputs", "generations", "completions", "choices")


def _read_request(body: dict[str, object]) -> Request:
    config = record(body.get("textGenerationConfig") or body.get("parameters"))
    prompt = next((text(body[key]) for key in _PROMPTS if text(body.get(key))), "")
    return Request(
        model=text(body.get("model")) or text(body.get("model_id")),
        stream=body.get("stream") is True,
        attributes=read_parameters({**config, **body}, _PARAMETERS),
        messages=[build_message("user", [text_part(prompt)])],
    )


def _read_answer(body: dict[str, object]) -> Answer:
    return _read_stream([Chunk(0, "", body)])


def _read_stream(chunks: list[Chunk]) -> Answer:
    answer = Answer(finished=False)
    pieces: list[str] = []
    counts: dict[str, int] = {}
    for chunk in chunks:
        answer.model = text(chunk.value.get("model_id")) or answer.model
        answer.model = text(chunk.value.get("model")) or answer.model
        for fields in _places(chunk.value):
            piece = next((text(fields[key]) for key in _TEXTS if text(fields.get(key))), "")
            if piece:
                pieces.append(piece)
                answer.content_offsets.append(chunk.offset)
            reason = next((text(fields[key]) for key in _REASONS if text(fields.get(key))), "")
            if reason and reason.lower() != "not_finished":
                answer.finish_reasons = [reason]
            _keep_counts(counts, fields)
    answer.finished = bool(answer.finish_reasons)
    if pieces:
        answer.messages = [build_message("assistant", [text_part("".join(pieces))])]
    answer.usage = Usage(
        input_tokens=next((counts[key] for key in _INPUT_COUNTS if key in counts), None),
        output_tokens=next((counts[key] for key in _OUTPUT_COUNTS if key in counts), None),
    )
    return answer


def _places(value: dict[str, object]) -> list[dict[str, object]]:
    """Return every object of an answer in which a field of interest may be."""
    places = [value]
    for key in _LISTS:
        for item in records(value.get(key)):
            places += [item, record(item.get("data"))]
    # TGI: its stream has the next piece in `token`, and repeats the whole text at the end.
    places.append(record(value.get("details")))
    token = record(value.get("token"))
    if token:
        places[0] = {k: v for k, v in value.items() if k != "generated_text"}
        places += [] if token.get("special") is True else [token]
    return places


def _keep_counts(counts: dict[str, int], fields: dict[str, object]) -> None:
    """Keep the greatest: counts are running totals, and some come in one chunk alone."""
    for key in (*_INPUT_COUNTS, *_OUTPUT_COUNTS):
        value = count(fields.get(key))
        if value is not None:
            counts[key] = max(value, counts.get(key, 0))


PROMPT = WireFormat(_read_request, _read_answer, _read_stream, proof=("prompt", "inputs", "input"))
