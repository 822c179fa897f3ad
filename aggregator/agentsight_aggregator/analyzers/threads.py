"""Finds the conversation ("thread") that a call continues, and whether it starts a turn.

Must not write anything. A session has several threads: the main one, subagents, side calls such as
the making of a title. Chat APIs repeat the history in each request, so a request belongs to the
thread whose last request is its beginning; the Responses API refers to the previous answer by id.
"""

from __future__ import annotations

import msgspec

from agentsight_aggregator.analyzers.state import SessionState, ThreadState
from agentsight_aggregator.call import LlmCall, Message

PREVIOUS_RESPONSE = "gen_ai.request.previous_response.id"
CONVERSATIONLESS = frozenset({"embeddings", "retrieval", "fetch_response"})


class Continuation(msgspec.Struct, frozen=True):
    """What a call is to a thread."""

    thread: int
    # Leading messages of the request that the thread's last request had too.
    known: int
    # The request has everything of the last one and more: results it does not bring, never come.
    extends: bool
    # The same request again, after a failure.
    repeats: bool


def find_thread(session: SessionState, call: LlmCall) -> Continuation | None:
    """Return the thread that `call` continues, None when it begins one."""
    hashes = tuple(message.hash for message in call.input)
    by_id = _thread_by_id(session, call)
    results = {result.id for message in call.input for result in message.tool_results if result.id}
    waiting = {tool.thread for tool in session.tools if not tool.outcome and tool.id in results}
    best: tuple[tuple[int, ...], Continuation] | None = None
    for number, thread in session.threads.items():
        known = _common_prefix(thread.known, hashes)
        found = Continuation(
            thread=number,
            known=known,
            extends=number == by_id or (known == len(thread.known) < len(hashes)),
            repeats=bool(
                known == len(thread.known) == len(hashes) and hashes and not thread.answer
            ),
        )
        if number != by_id and not _belongs(found, thread, hashes, number in waiting):
            continue
        rank = _rank(found, thread, call, hashes, (number == by_id, number in waiting))
        if best is None or rank > best[0]:
            best = (rank, found)
    return best[1] if best else None


def starts_turn(call: LlmCall, continuation: Continuation | None) -> bool:
    """Tell whether `call` brings a word of the user, not results of tools."""
    if continuation is None:
        return True
    if continuation.repeats:
        return False
    last = next((item for item in reversed(call.input) if item.role not in _SPEAKERS), None)
    return last is not None and not last.tool_results and last.role == "user"


def user_text(call: LlmCall) -> str:
    """Return the text of the last message that is the user's."""
    return next((item.text for item in reversed(call.input) if item.role == "user"), "")


def is_final(call: LlmCall) -> bool:
    """Tell whether the answer of `call` ends a turn: it asks for nothing more."""
    return not call.error_type and not call.tool_calls and "pause_turn" not in call.finish_reasons


def remember(session: SessionState, number: int, call: LlmCall) -> None:
    """Take `call` as the last one of thread `number`."""
    thread = session.threads[number]
    thread.known = tuple(message.hash for message in call.input)
    thread.answer = call.output[0].hash if call.output else b""
    thread.system = _system(call.system)
    thread.last_ns = max(thread.last_ns, call.end_ns)
    for key in (call.response_id and f"r:{call.response_id}", _conversation(call)):
        if key:
            session.thread_ids.pop(key, None)
            session.thread_ids[key] = number


_SPEAKERS = frozenset({"assistant", "system"})


def _thread_by_id(session: SessionState, call: LlmCall) -> int | None:
    previous = call.attributes.get(PREVIOUS_RESPONSE)
    number = session.thread_ids.get(f"r:{previous}") if previous else None
    if number is None and call.conversation_id:
        number = session.thread_ids.get(_conversation(call))
    return number if number in session.threads else None


def _conversation(call: LlmCall) -> str:
    return f"c:{call.conversation_id}" if call.conversation_id else ""


def _belongs(
    found: Continuation, thread: ThreadState, hashes: tuple[bytes, ...], waiting: bool
) -> bool:
    """Tell whether the messages that both have are enough to call it the same conversation.

    Agents alter their histories (reminders come and go, old results are shortened), so half of the
    last request must be found again. One message in common is enough if it is all there was.
    """
    if found.repeats or (waiting and (found.known or not thread.known)):
        return True
    if not found.known or found.known * 2 < len(thread.known):
        return False
    return found.known >= 2 or len(hashes) > len(thread.known)


def _rank(
    found: Continuation,
    thread: ThreadState,
    call: LlmCall,
    hashes: tuple[bytes, ...],
    named: tuple[bool, bool],
) -> tuple[int, ...]:
    answer = hashes[found.known] if found.known < len(hashes) else None
    return (
        *named,
        found.known,
        answer is not None and answer == thread.answer,
        _system(call.system) == thread.system,
        thread.last_ns,
    )


def _system(message: Message | None) -> bytes:
    return message.hash if message else b""


def _common_prefix(left: tuple[bytes, ...], right: tuple[bytes, ...]) -> int:
    length = min(len(left), len(right))
    if left[:length] == right[:length]:
        return length
    return next(index for index in range(length) if left[index] != right[index])
