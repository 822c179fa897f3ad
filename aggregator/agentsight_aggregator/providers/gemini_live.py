"""Gemini Live: turns of a conversation over a WebSocket, as calls of generateContent.

https://ai.google.dev/api/live. A call begins with what the client says (or with the answer, when
the server hears the end of a sentence), and ends when the model's turn does or when it asks for a
tool. Its messages are rewritten to the form of generateContent, so that its reader reads them.
"""

from __future__ import annotations

from agentsight_core.pb import events_pb2 as pb

from agentsight_aggregator.providers.conversations import add_item
from agentsight_aggregator.providers.payload import (
    decode_whole_json,
    encode_json,
    record,
    records,
    text,
)
from agentsight_aggregator.streams.sockets import SocketCall, SocketMessage, SocketState

Json = dict[str, object]


def take_live(state: SocketState, message: SocketMessage, value: Json) -> list[SocketCall]:
    """Take the next message; return the calls that have ended."""
    if message.direction == pb.DIRECTION_REQUEST:
        return _take_request(state, message, value)
    content = record(_either(value, "serverContent", "server_content"))
    tools = record(_either(value, "toolCall", "tool_call"))
    if content or tools:
        return _take_answer(state, message, value, content, tools)
    return []


def _either(fields: Json, camel: str, snake: str) -> object:
    """Protobuf's JSON mapping takes both spellings of a field."""
    return fields[camel] if camel in fields else fields.get(snake)


def _take_request(state: SocketState, message: SocketMessage, value: Json) -> list[SocketCall]:
    content = record(_either(value, "clientContent", "client_content"))
    responses = record(_either(value, "toolResponse", "tool_response"))
    if "setup" in value:
        state.session = encode_json(record(value["setup"])).encode()
    elif content:
        for turn in records(content.get("turns")):
            add_item(state, turn)
        if _either(content, "turnComplete", "turn_complete") is not False:
            return _begin(state, message.start_ns, message.end_ns)
    elif responses:
        given = _either(responses, "functionResponses", "function_responses")
        parts = [{"functionResponse": response} for response in records(given)]
        add_item(state, {"role": "user", "parts": parts})
        return _begin(state, message.start_ns, message.end_ns)
    return []


def _begin(state: SocketState, start_ns: int, end_ns: int) -> list[SocketCall]:
    """Begin a call; one that is under way has been interrupted."""
    interrupted, state.calls = state.calls, []
    for call in interrupted:
        call.problem = "closed early: the client went on before the model's turn ended"
    setup = record(decode_whole_json(state.session)[0])
    contents = [decode_whole_json(item)[0] for item in state.items]
    asked = {key: value for key, value in setup.items() if key != "model"}
    request = {"model": setup.get("model"), "request": {**asked, "contents": contents}}
    call = SocketCall(
        request=encode_json(request).encode(),
        start_ns=start_ns,
        request_end_ns=end_ns,
        last_ns=end_ns,
    )
    call.note_dropped(state)
    state.calls.append(call)
    return interrupted


def _take_answer(
    state: SocketState, message: SocketMessage, value: Json, content: Json, tools: Json
) -> list[SocketCall]:
    if not state.calls:
        _begin(state, message.start_ns, message.start_ns)
    (call,) = state.calls
    parts = records(record(_either(content, "modelTurn", "model_turn")).get("parts"))
    parts = [_without_sound(part) for part in parts]
    heard = record(_either(content, "outputTranscription", "output_transcription"))
    if text(heard.get("text")):
        parts.append({"text": heard["text"]})
    asked = records(_either(tools, "functionCalls", "function_calls"))
    parts += [{"functionCall": function} for function in asked]
    over = bool(asked) or _either(content, "turnComplete", "turn_complete") is True
    call.add_bounded(encode_json(_chunk(value, parts, over=over)).encode(), message, final=over)
    if not over:
        return []
    said = _said(call)
    if said:
        add_item(state, {"role": "model", "parts": said})
    state.calls.clear()
    call.last_ns = max(call.last_ns, message.end_ns)
    return [call]


def _said(call: SocketCall) -> list[Json]:
    """Return the parts of the whole answer but sound, neighbouring pieces of text joined."""
    said: list[Json] = []
    for line in call.answer:
        (candidate,) = records(record(decode_whole_json(line)[0]).get("candidates"))
        for part in records(record(candidate.get("content")).get("parts")):
            if said and set(part) == set(said[-1]) == {"text"}:
                said[-1] = {"text": f"{said[-1]['text']}{part['text']}"}
            elif "inlineData" not in part:
                said.append(part)
    return said


def _without_sound(part: Json) -> Json:
    sound = record(_either(part, "inlineData", "inline_data"))
    if not sound:
        return part
    return {"inlineData": {"mimeType": _either(sound, "mimeType", "mime_type")}}


def _chunk(value: Json, parts: list[Json], *, over: bool) -> Json:
    """Return a message of the server as a chunk of streamGenerateContent."""
    candidate: Json = {"content": {"role": "model", "parts": parts}}
    if over:
        candidate["finishReason"] = "STOP"
    usage = record(_either(value, "usageMetadata", "usage_metadata"))
    chunk: Json = {"candidates": [candidate]}
    if usage:
        counts = {_camel(key): count for key, count in usage.items()}
        answered = counts.pop("responseTokenCount", None)
        chunk["usageMetadata"] = {"candidatesTokenCount": answered, **counts}
    return chunk


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
