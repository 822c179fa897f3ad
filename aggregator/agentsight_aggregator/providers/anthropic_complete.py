"""Anthropic's old Text Completions, /v1/complete and Claude 2 on Bedrock.

https://docs.anthropic.com/en/api/complete
"""

from __future__ import annotations

from agentsight_aggregator.providers.drafts import (
    COMMON_PARAMETERS,
    Answer,
    Chunk,
    Request,
    WireFormat,
    read_parameters,
)
from agentsight_aggregator.providers.messages import build_message, text_part
from agentsight_aggregator.providers.payload import text


def _read_completion_request(body: dict[str, object]) -> Request:
    """Read a request of the old Text Completions API, /v1/complete."""
    maximum = {"max_tokens_to_sample": COMMON_PARAMETERS["max_tokens"]}
    return Request(
        model=text(body.get("model")),
        stream=body.get("stream") is True,
        attributes=read_parameters(body, COMMON_PARAMETERS, maximum),
        messages=[build_message("user", [text_part(text(body.get("prompt")))])],
    )


def _read_completion(body: dict[str, object]) -> Answer:
    reason = text(body.get("stop_reason"))
    return Answer(
        model=text(body.get("model")),
        id=text(body.get("id")),
        messages=[build_message("assistant", [text_part(text(body.get("completion")))])],
        finish_reasons=[reason] if reason else [],
        finished=bool(reason),
    )


def _read_completion_stream(chunks: list[Chunk]) -> Answer:
    given = [chunk for chunk in chunks if "completion" in chunk.value]
    if not given:
        return Answer(finished=False)
    whole = "".join(text(chunk.value.get("completion")) for chunk in given)
    answer = _read_completion({**given[-1].value, "completion": whole})
    answer.content_offsets = [chunk.offset for chunk in given]
    return answer


COMPLETE = WireFormat(
    _read_completion_request,
    _read_completion,
    _read_completion_stream,
    proof=("max_tokens_to_sample",),
)
