"""Conversation messages in the OTel form, hashed so that equal messages are equal everywhere.

The same message comes along in many forms: streamed in pieces, repeated by the client in the next
request with other white space, key order or cache marks. Parts are therefore built from the fields
that carry meaning and from nothing else.

Parts: https://github.com/open-telemetry/semantic-conventions-genai gen-ai-input-messages.json
"""

from __future__ import annotations

from collections.abc import Iterable

from agentsight_core import ids

from agentsight_aggregator.call import Message, ToolCall, ToolResult
from agentsight_aggregator.providers.payload import decode_json, encode_json

Part = dict[str, object]

# A vendor's kind must not pass for one of these, whose fields the rest relies on.
_OWN_KINDS = frozenset({"", "text", "reasoning", "tool_call", "tool_call_response", "blob"})
_ROLES = {"developer": "system", "model": "assistant", "function": "tool", "human": "user"}


def text_part(content: str) -> Part:
    """Return a part of plain text."""
    return {"type": "text", "content": content}


def reasoning_part(content: str) -> Part:
    """Return a part of the model's reasoning, "" when it is hidden."""
    return {"type": "reasoning", "content": content}


def call_part(call_id: str, name: str, arguments: str) -> Part:
    """Return the part of a tool call that the client has to run; `arguments` is JSON text."""
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def result_part(call_id: str, name: str, content: object, *, is_error: bool = False) -> Part:
    """Return the part of a tool's result; `content` is text, or what else the tool gave."""
    part: Part = {"type": "tool_call_response", "id": call_id, "response": content}
    if name:
        part["name"] = name
    if is_error:
        part["is_error"] = True
    return part


def other_part(kind: str, value: object) -> Part:
    """Return a part of a kind that only its vendor knows: `value` as it was, under its kind."""
    return {"type": "unknown" if kind in _OWN_KINDS else kind, "value": value}


def media_part(kind: str, source: object) -> Part:
    """Return an image, audio, video or document by the hash of its source; content is not kept."""
    return {"type": "blob", "modality": kind, "digest": _hash_of(source)}


def build_message(role: str, parts: Iterable[Part]) -> Message:
    """Return the message that `parts` make; a message of tool results alone has the role tool."""
    given = list(parts)
    results = [part for part in given if part["type"] == "tool_call_response"]
    role = _ROLES.get(role, role)
    if results and len(results) == len(given):
        role = "tool"
    parts_json = encode_json([_with_parsed_arguments(part) for part in given])
    return Message(
        role=role,
        parts_json=parts_json,
        hash=ids.digest(role, parts_json, size=16),
        text="\n".join(str(part["content"]) for part in given if part["type"] == "text"),
        tool_calls=tuple(_tool_call(part) for part in given if part["type"] == "tool_call"),
        tool_results=tuple(_tool_result(part) for part in results),
    )


def _with_parsed_arguments(part: Part) -> Part:
    """Arguments as a JSON value, so that white space and key order do not matter."""
    if part["type"] != "tool_call":
        return part
    raw = str(part["arguments"])
    value, problem = decode_json(raw.encode()) if raw.strip() else ({}, "")
    return {**part, "arguments": raw if problem else value}


def _tool_call(part: Part) -> ToolCall:
    arguments = str(part["arguments"]) or "{}"
    return ToolCall(id=str(part["id"]), name=str(part["name"]), arguments=arguments)


def _tool_result(part: Part) -> ToolResult:
    content = part["response"]
    return ToolResult(
        id=str(part["id"]),
        name=str(part.get("name", "")),
        content=content if isinstance(content, str) else encode_json(content),
        is_error=bool(part.get("is_error")),
    )


def _hash_of(value: object) -> str:
    return ids.digest(encode_json(value), size=16).hex()
