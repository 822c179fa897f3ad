"""Embeddings of OpenAI's shape (also Voyage, Jina, Mistral), of Google, Ollama, Cohere and watsonx.

https://platform.openai.com/docs/api-reference/embeddings. An embedding has no output tokens.
"""

from __future__ import annotations

from agentsight_aggregator.call import AttributeValue, Usage
from agentsight_aggregator.providers.drafts import (
    Answer,
    Chunk,
    Parameter,
    Request,
    WireFormat,
    read_parameters,
    words,
)
from agentsight_aggregator.providers.payload import count, record, records, text

_PARAMETERS: dict[str, Parameter] = {
    "encoding_format": ("gen_ai.request.encoding_formats", words),
    "embedding_types": ("gen_ai.request.encoding_formats", words),
    "dimensions": ("gen_ai.embeddings.dimension.count", count),
    "output_dimension": ("gen_ai.embeddings.dimension.count", count),
    "outputDimensionality": ("gen_ai.embeddings.dimension.count", count),
    "embeddingTypes": ("gen_ai.request.encoding_formats", words),
}


def _read_request(body: dict[str, object]) -> Request:
    model = text(body.get("model")) or text(body.get("model_id"))
    attributes: dict[str, AttributeValue] = read_parameters(body, _PARAMETERS)
    return Request(model=model.removeprefix("models/"), attributes=attributes)


def _read_google_request(body: dict[str, object]) -> Request:
    """Leave the model to the path; the body repeats it, per item of a batch."""
    config = record(body.get("embedContentConfig"))
    requests = records(body.get("requests"))
    return Request(attributes=read_parameters({**(requests or [body])[0], **config}, _PARAMETERS))


def _read_answer(body: dict[str, object]) -> Answer:
    return Answer(
        # Cohere: `id`; others have none.
        model=text(body.get("model")) or text(body.get("model_id")),
        id=text(body.get("id")),
        usage=Usage(input_tokens=_input_tokens(body)),
    )


def _input_tokens(body: dict[str, object]) -> int | None:
    usage = record(body.get("usage"))
    units = record(record(body.get("meta")).get("billed_units"))
    google = record(body.get("usageMetadata"))
    candidates = [
        usage.get("prompt_tokens"),
        usage.get("input_tokens"),
        usage.get("total_tokens"),
        # Cohere bills pictures in tokens apart.
        _sum(units.get("input_tokens"), units.get("image_tokens")),
        google.get("promptTokenCount"),
        # Ollama; Titan; watsonx
        body.get("prompt_eval_count"),
        body.get("inputTextTokenCount"),
        body.get("input_token_count"),
        _vertex_tokens(body),
    ]
    return next((value for value in map(count, candidates) if value is not None), None)


def _sum(*values: object) -> int | None:
    known = [value for value in map(count, values) if value is not None]
    return sum(known) if known else None


def _vertex_tokens(body: dict[str, object]) -> int | None:
    """Vertex AI `predict`: predictions[].embeddings.statistics.token_count."""
    statistics = [
        record(record(prediction.get("embeddings")).get("statistics"))
        for prediction in records(body.get("predictions"))
    ]
    return _sum(*(item.get("token_count") for item in statistics))


def _read_stream(chunks: list[Chunk]) -> Answer:
    """No vendor streams embeddings: take the last value as the answer."""
    return _read_answer(chunks[-1].value) if chunks else Answer()


EMBEDDINGS = WireFormat(_read_request, _read_answer, _read_stream, proof=("input", "texts"))
OLLAMA = EMBEDDINGS._replace(proof=("model",))
COHERE = EMBEDDINGS._replace(proof=("texts", "inputs", "images"))
GOOGLE = WireFormat(_read_google_request, _read_answer, _read_stream)
