"""Messages and tool calls of the OpenAI chat shape, whole or put together from deltas."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentsight_aggregator.call import Message
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
from agentsight_aggregator.providers.payload import count, encode_json, record, records, text

_MEDIA = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "video_url": "video",
    "file": "document",
    "input_file": "document",
    "document_url": "document",
}


def read_message(item: dict[str, object]) -> Message:
    """Return one message of a request or a whole message of an answer."""
    role = text(item.get("role")) or "assistant"
    if role in {"tool", "function"}:
        call_id = text(item.get("tool_call_id"))
        content = _result_content(item.get("content"))
        return build_message("tool", [result_part(call_id, text(item.get("name")), content)])
    # reasoning_content: DeepSeek and most others; reasoning: OpenRouter, Groq, vLLM.
    reasoning = text(item.get("reasoning_content")) or text(item.get("reasoning"))
    parts = [reasoning_part(reasoning)] if reasoning else []
    parts += read_parts(item.get("content"))
    if text(item.get("refusal")):
        parts.append(other_part("refusal", text(item["refusal"])))
    return build_message(role, parts + [read_tool_call(call) for call in _calls_of(item)])


def _calls_of(item: dict[str, object]) -> list[dict[str, object]]:
    """Return the calls of a message or delta; Snowflake fills unused fields with empty values."""
    calls = records(item.get("tool_calls"))
    legacy = record(item.get("function_call"))
    return calls or ([legacy] if legacy.get("name") or legacy.get("arguments") else [])


def read_tool_call(call: dict[str, object]) -> Part:
    """Return the part for an item of `tool_calls`: a function, a custom tool, or a bare name."""
    function = record(call.get("function")) or record(call.get("custom")) or call
    arguments = function.get("arguments", function.get("input", ""))
    raw = arguments if isinstance(arguments, str) else encode_json(arguments)
    return call_part(text(call.get("id")), text(function.get("name")), raw)


def read_parts(content: object) -> list[Part]:
    """Return the parts of a `content`: text, or an array of typed parts."""
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [_read_part(item) for item in records(content)]


def _read_part(item: dict[str, object]) -> Part:
    kind = text(item.get("type"))
    if kind in {"text", "input_text", "output_text"}:
        return text_part(text(item.get("text")))
    if kind == "thinking":
        # Mistral: an array of text parts
        thoughts = records(item.get("thinking"))
        return reasoning_part("".join(text(thought.get("text")) for thought in thoughts))
    if kind in _MEDIA:
        return media_part(_MEDIA[kind], item.get(kind, item))
    return other_part(kind, item)


def _result_content(content: object) -> object:
    if isinstance(content, str):
        return content
    parts = read_parts(content)
    if all(part["type"] == "text" for part in parts):
        return "\n".join(str(part["content"]) for part in parts)
    return parts


@dataclass(slots=True)
class _CallDraft:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class StreamedMessage:
    """One choice of a streamed chat completion, growing delta by delta."""

    content: list[Part] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    finish_reason: str = ""
    _calls: list[_CallDraft] = field(default_factory=list)
    _by_index: dict[int, _CallDraft] = field(default_factory=dict)

    def add(self, delta: dict[str, object]) -> bool:
        """Take a delta; return whether it brought generated content."""
        before = self._size()
        self.content += read_parts(delta.get("content"))
        for key in ("reasoning_content", "reasoning"):
            if text(delta.get(key)):
                self.reasoning.append(text(delta[key]))
                break
        if text(delta.get("refusal")):
            self.refusal.append(text(delta["refusal"]))
        calls = _calls_of(delta)
        for call in calls:
            self._add_call(call)
        return bool(calls) or self._size() > before

    @property
    def has_content(self) -> bool:
        """Whether any delta brought something."""
        return bool(self._size() or self._calls)

    def _size(self) -> int:
        return len(self.content) + len(self.reasoning) + len(self.refusal)

    def _add_call(self, call: dict[str, object]) -> None:
        """Merge by index.

        Some hosts leave the index out or send 0 for every parallel call: a new id together with a
        name then begins the next call.
        """
        function = record(call.get("function")) or record(call.get("custom")) or call
        call_id, name = text(call.get("id")), text(function.get("name"))
        index = count(call.get("index"))
        if index is None:
            draft = self._calls[-1] if self._calls else None
        else:
            draft = self._by_index.get(index)
        if draft is None or self._begins_another(draft, call_id, name, index):
            draft = _CallDraft()
            self._calls.append(draft)
            if index is not None:
                self._by_index[index] = draft
        draft.id = draft.id or call_id
        draft.name = draft.name or name
        arguments = function.get("arguments", function.get("input"))
        if isinstance(arguments, str):
            draft.arguments.append(arguments)
        elif arguments is not None:
            draft.arguments.append(encode_json(arguments))

    @staticmethod
    def _begins_another(draft: _CallDraft, call_id: str, name: str, index: int | None) -> bool:
        if not name or not draft.name:
            return False
        if call_id and draft.id:
            return call_id != draft.id
        # Neither index nor ids: whole calls, one a delta.
        return index is None and not call_id

    def build(self) -> Message:
        """Return the message as it would have come in one piece."""
        parts: list[Part] = [reasoning_part("".join(self.reasoning))] if self.reasoning else []
        parts += _merged_texts(self.content)
        if self.refusal:
            parts.append(other_part("refusal", "".join(self.refusal)))
        parts += [call_part(c.id, c.name, "".join(c.arguments)) for c in self._calls]
        return build_message("assistant", parts)


def _merged_texts(parts: list[Part]) -> list[Part]:
    """Join neighbouring parts of text or of reasoning."""
    groups: list[tuple[object, list[Part]]] = []
    for part in parts:
        if groups and groups[-1][0] == part["type"] and part["type"] in {"text", "reasoning"}:
            groups[-1][1].append(part)
        else:
            groups.append((part["type"], [part]))
    return [
        {"type": kind, "content": "".join(str(part["content"]) for part in group)}
        if kind in {"text", "reasoning"}
        else group[0]
        for kind, group in groups
    ]
