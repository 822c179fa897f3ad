"""Calls of a model within a WebSocket: OpenAI Responses and Realtime, Gemini Live.

From `response.create` to the last event of that response is one call. What a Realtime call asks is
spread over earlier messages: the session's configuration and the items of the conversation.
https://developers.openai.com/api/reference/resources/realtime, …/responses/websocket-events.
Must not read answers: `providers.calls` does, as those of other calls.
"""

from __future__ import annotations

import msgspec
from agentsight_core.endpoints import find_socket
from agentsight_core.pb import events_pb2 as pb

from agentsight_aggregator.providers.conversations import add_item
from agentsight_aggregator.providers.gemini_live import take_live
from agentsight_aggregator.providers.payload import (
    decode_whole_json,
    encode_json,
    record,
    records,
    text,
)
from agentsight_aggregator.streams.sockets import SocketCall, SocketMessage, SocketState

_APIS = frozenset({"gemini.live", "openai.realtime", "openai.responses"})
_MAX_CALLS = 64
_FINAL = frozenset(
    {"response.done", "response.completed", "response.failed", "response.incomplete"}
)
# Sound, in base64: only when it came is kept.
_SOUND = frozenset({"response.output_audio.delta", "response.audio.delta"})
# Which message repeats an item: the one of the beta API or the one of today's, never both.
_ITEM_ADDED = frozenset({"conversation.item.added", "conversation.item.created"})
_HEARD = "conversation.item.input_audio_transcription.completed"

Json = dict[str, object]


def take_message(
    authority: str, target: str, state: SocketState, message: SocketMessage
) -> list[SocketCall]:
    """Take the next message of the WebSocket to `target`; return the calls that have ended."""
    endpoint = find_socket(authority, target)
    value = record(decode_whole_json(message.data)[0])
    if endpoint is None or endpoint.api not in _APIS:
        return []
    if not value and message.problem:
        for call in state.calls:
            call.problem = call.problem or f"a message cannot be read: {message.problem}"
    if not value:
        return []
    api = endpoint.api
    if api == "gemini.live":
        return take_live(state, message, value)
    if message.direction == pb.DIRECTION_REQUEST:
        return _take_request(api, state, value, message)
    if api == "openai.realtime":
        _take_conversation(state, value)
    kind = text(value.get("type"))
    if kind == "error" or kind.startswith(("response.", "responsesapi.")):
        return _take_answer(api, state, value, message)
    return []


def end_calls(state: SocketState) -> list[SocketCall]:
    """Return the calls whose end never came, because the WebSocket has ended."""
    calls, state.calls = state.calls, []
    for call in calls:
        call.problem = call.problem or "the connection closed before the exchange ended"
    return [call for call in calls if not call.is_warmup]


def _take_request(
    api: str, state: SocketState, value: Json, message: SocketMessage
) -> list[SocketCall]:
    kind = text(value.get("type"))
    if kind == "session.update":
        session = {**record(decode_whole_json(state.session)[0]), **record(value.get("session"))}
        state.session = encode_json(session).encode()
    elif kind == "conversation.item.create":
        add_item(state, record(value.get("item")))
        state.unconfirmed += 1
    elif kind == "response.create":
        return _begin(api, state, value, message)
    return []


def _begin(api: str, state: SocketState, value: Json, message: SocketMessage) -> list[SocketCall]:
    call = SocketCall(
        request=_request(api, state, value),
        start_ns=message.start_ns,
        request_end_ns=message.end_ns,
        last_ns=message.end_ns,
        stream_id=text(value.get("stream_id")),
        is_warmup=value.get("generate") is False,
    )
    call.note_dropped(state)
    state.calls.append(call)
    surplus = state.calls[:-_MAX_CALLS]
    state.calls = state.calls[-_MAX_CALLS:]
    for old in surplus:
        old.problem = "closed early: too much is open at once"
    return surplus


def _request(api: str, state: SocketState, value: Json) -> bytes:
    """Return what the call asks as one JSON object, as the reader of its format expects it."""
    asked = record(value.get("response"))
    if api != "openai.realtime":
        fields = asked or {k: v for k, v in value.items() if k not in ("type", "event_id")}
        return encode_json({**fields, "stream": True}).encode()
    items = [decode_whole_json(item)[0] for item in state.items]
    session = record(decode_whole_json(state.session)[0])
    return encode_json({"session": session, "response": asked, "items": items}).encode()


def _take_conversation(state: SocketState, value: Json) -> None:
    """Keep what later calls of a Realtime conversation rely on."""
    kind = text(value.get("type"))
    if kind in ("session.created", "session.updated"):
        state.session = encode_json(record(value.get("session"))).encode()
    elif kind in _ITEM_ADDED:
        item = record(value.get("item"))
        if item.get("role") == "assistant" or item.get("type") == "function_call":
            return  # The answer that it belongs to gives it whole.
        if state.unconfirmed:
            state.unconfirmed -= 1
        else:
            add_item(state, item)
    elif kind == _HEARD:
        _add_transcript(state, text(value.get("item_id")), text(value.get("transcript")))
    elif kind == "response.done":
        for item in records(record(value.get("response")).get("output")):
            add_item(state, item)


def _add_transcript(state: SocketState, item_id: str, transcript: str) -> None:
    """Write down what was heard in an item of sound."""
    for position, data in enumerate(state.items):
        item = record(decode_whole_json(data)[0])
        if item.get("id") != item_id:
            continue
        item["content"] = [{"type": "input_text", "text": transcript}]
        state.items[position] = encode_json(item).encode()
        state.item_bytes += len(state.items[position]) - len(data)


def _take_answer(
    api: str, state: SocketState, value: Json, message: SocketMessage
) -> list[SocketCall]:
    kind = text(value.get("type"))
    call = _find_call(api, state, value, message)
    if call is None:
        return []
    data = encode_json({"type": kind}).encode() if kind in _SOUND else _one_line(message.data)
    final = kind in _FINAL or kind == "error"
    call.add_bounded(data, message, final=final)
    if not final:
        return []
    state.calls.remove(call)
    call.last_ns = max(call.last_ns, message.end_ns)
    return [] if call.is_warmup else [call]


def _one_line(data: bytes) -> bytes:
    return data if b"\n" not in data else msgspec.json.format(data, indent=-1)


def _find_call(
    api: str, state: SocketState, value: Json, message: SocketMessage
) -> SocketCall | None:
    """Return the call that an event of an answer belongs to.

    Without an id, events belong to the oldest call of their stream.
    """
    answer_id = text(record(value.get("response")).get("id")) or text(value.get("response_id"))
    stream_id = text(value.get("stream_id"))
    of_stream = [call for call in state.calls if not stream_id or call.stream_id == stream_id]
    if not answer_id:
        waiting = [call for call in of_stream if not call.id]
        wanted = waiting if value.get("type") == "error" and api == "openai.realtime" else of_stream
        return next(iter(wanted), None)
    known = next((call for call in of_stream if call.id == answer_id), None)
    if known is not None:
        return known
    call = next((call for call in of_stream if not call.id), None)
    if call is None and value.get("type") == "response.created" and api == "openai.realtime":
        # The server answers by itself when it hears the end of a sentence.
        call = SocketCall(
            request=_request(api, state, {}),
            start_ns=message.start_ns,
            request_end_ns=message.start_ns,
            last_ns=message.end_ns,
        )
        state.calls.append(call)
    if call is not None:
        call.id = answer_id
    return call
