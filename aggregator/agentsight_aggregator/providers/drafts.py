"""What a reader of one wire format makes of a request and of its answer, before they are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from agentsight_aggregator.call import AttributeValue, Message, Usage
from agentsight_aggregator.providers.payload import count, encode_json, number, text, texts


class CallError(NamedTuple):
    """Why a call failed: `error.type` and the vendor's words."""

    type: str
    message: str


class Chunk(NamedTuple):
    """One decoded item of a streamed answer."""

    # Where its first byte is in the response body.
    offset: int
    # The SSE event field or the event type of an AWS event stream; "" if the format has none.
    event: str
    value: dict[str, object]


@dataclass(slots=True)
class Request:
    """What a request body asks for."""

    model: str = ""
    stream: bool = False
    conversation_id: str = ""
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    system: Message | None = None
    messages: list[Message] = field(default_factory=list)
    tools: tuple[str, ...] = ()


@dataclass(slots=True)
class Answer:
    """What a response body says."""

    model: str = ""
    id: str = ""
    conversation_id: str = ""
    messages: list[Message] = field(default_factory=list)
    finish_reasons: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    # What the vendor charges for, where it says so apart from what the model used.
    billed: Usage | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    # The JSON in which the answer says that it failed, though the HTTP status says otherwise.
    failure: dict[str, object] | None = None
    # False for a stream whose end mark never came.
    finished: bool = True
    # Where in the response body each piece of generated content begins.
    content_offsets: list[int] = field(default_factory=list)
    # True when the exchange turns out to be no call of a model (Ollama loading one).
    is_no_call: bool = False


class WireFormat(NamedTuple):
    """The three readers of one wire format; none of them raises, whatever the JSON is."""

    read_request: Callable[[dict[str, object]], Request]
    read_answer: Callable[[dict[str, object]], Answer]
    read_stream: Callable[[list[Chunk]], Answer]
    # Keys of which one must be in the request body if the head alone proves nothing; none where
    # that has been looked at before.
    proof: tuple[str, ...] = ()


Parameter = tuple[str, Callable[[object], AttributeValue | None]]


def flag(value: object) -> bool | None:
    """Return `value` if it is a boolean."""
    return value if isinstance(value, bool) else None


def word(value: object) -> str | None:
    """Return `value` if it is a string that is not empty."""
    return text(value) or None


def words(value: object) -> tuple[str, ...] | None:
    """Return the strings of `value`, None when there are none."""
    return texts(value) or None


# JSON keys that mean the same in nearly every format, and their OTel attributes.
COMMON_PARAMETERS: Mapping[str, Parameter] = {
    "temperature": ("gen_ai.request.temperature", number),
    "top_p": ("gen_ai.request.top_p", number),
    "top_k": ("gen_ai.request.top_k", count),
    "max_tokens": ("gen_ai.request.max_tokens", count),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", number),
    "presence_penalty": ("gen_ai.request.presence_penalty", number),
    "seed": ("gen_ai.request.seed", count),
    "stop_sequences": ("gen_ai.request.stop_sequences", words),
}


def read_parameters(
    body: Mapping[str, object], *tables: Mapping[str, Parameter]
) -> dict[str, AttributeValue]:
    """Return the OTel attributes for the keys of `body` that `tables` name."""
    attributes: dict[str, AttributeValue] = {}
    for table in tables:
        for key, (name, convert) in table.items():
            value = convert(body[key]) if key in body else None
            if value is not None:
                attributes[name] = value
    return attributes


def tool_definitions(tools: Iterable[object]) -> tuple[str, ...]:
    """Return each tool definition as JSON with sorted keys."""
    return tuple(encode_json(tool) for tool in tools)
