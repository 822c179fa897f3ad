"""Calls of models: places each in its thread and turn, joins retries, writes what follows from it.

Must not read HTTP: it gets `LlmCall`s.
"""

from __future__ import annotations

import msgspec
from agentsight_core.ids import digest
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers import links, threads
from agentsight_aggregator.analyzers.call_spans import cut_parts, write_call
from agentsight_aggregator.analyzers.causes import Causes
from agentsight_aggregator.analyzers.findings import Output, span_id, storable, trace_id
from agentsight_aggregator.analyzers.state import (
    Attempt,
    Cause,
    Placed,
    SessionState,
    ThreadState,
    ToolState,
)
from agentsight_aggregator.analyzers.tools import Tools
from agentsight_aggregator.analyzers.turns import Turns
from agentsight_aggregator.call import LlmCall, Message
from agentsight_aggregator.exchange import Exchange

# Shorter texts ("go on") are in arguments by chance.
_MIN_PROMPT_CHARS = 12
_NO_THREAD = 0
_MAX_THREAD_IDS = 4096


class Calls:
    """Takes calls in the order in which they ended."""

    def __init__(self, output: Output, turns: Turns, tools: Tools, causes: Causes) -> None:
        self._output = output
        self._turns = turns
        self._tools = tools
        self._causes = causes

    def observe(self, session: SessionState, call: LlmCall, exchange: Exchange) -> None:
        """Take the call that `exchange` was."""
        talker = session.processes.get(session.by_pid.get(exchange.pid, 0))
        if talker is not None:
            talker.talks = True
        key = digest(exchange.target, exchange.request_body, size=16)
        placed = self._retried(session, key, call) or self._place(session, call, exchange)
        if call.retryable and call.error_type and not session.imported:
            session.retrying[key] = placed
            if len(session.retrying) > self._output.settings.max_retrying:
                self._output.meter.add("agentsight.evicted", 1, table="retrying")
                self._finish(session, session.retrying.pop(next(iter(session.retrying))))
        else:
            self._finish(session, placed)

    def give_up_retries(self, session: SessionState, before_ns: int) -> None:
        """Write the failures that ended at or before `before_ns` and were not tried again."""
        late = [key for key, item in session.retrying.items() if item.call.end_ns <= before_ns]
        for key in late:
            self._finish(session, session.retrying.pop(key))

    def end_thread(self, session: SessionState, number: int, now_ns: int, why: str) -> None:
        """Thread `number` goes no further: write its failed calls, end its tools and its turn."""
        for key in [key for key, item in session.retrying.items() if item.thread == number]:
            self._finish(session, session.retrying.pop(key))
        self._tools.abandon(session, number, now_ns, why)
        self._turns.end(session, session.threads[number])

    def _retried(self, session: SessionState, key: bytes, call: LlmCall) -> Placed | None:
        """Return the failed call that `call` tries again, with its failure as an attempt."""
        before = session.retrying.pop(key, None)
        if before is None:
            return None
        failed = before.call
        if call.start_ns < failed.end_ns:
            # At the same time, so an equal request of its own.
            self._finish(session, before)
            return None
        attempt = Attempt(failed.start_ns, failed.end_ns, failed.error_type, failed.status)
        return msgspec.structs.replace(before, call=call, attempts=(*before.attempts, attempt))

    def _place(self, session: SessionState, call: LlmCall, exchange: Exchange) -> Placed:
        key = (exchange.connection, exchange.index)
        if call.operation in threads.CONVERSATIONLESS:
            return self._place_alone(session, call, exchange)
        found = threads.find_thread(session, call)
        number = found.thread if found else self._begin_thread(session, call, exchange.pid)
        thread = session.threads[number]
        if thread.turn is None or threads.starts_turn(call, found):
            self._tools_cut_off(session, number, call, found)
            self._turns.end(session, thread)
            cause = self._cause(session, call, exchange.pid, number)
            if cause is not None and thread.kind != "main":
                thread.kind = "subagent"
            turn = self._turns.begin(session, thread, call, key, cause)
            if cause is not None:
                edge = pb.Edge(
                    trace_id=turn.trace_id, method=cause.method, confidence=cause.confidence
                )
                self._output.edge(session, call.start_ns, cause.parent_span_id, turn.span_id, edge)
        assert thread.turn is not None
        placed = _placed(call, exchange, number, thread.turn.trace_id, thread.turn.span_id)
        placed = msgspec.structs.replace(placed, known=found.known if found else 0)
        brought = self._tools.take_results(session, placed, extends=bool(found and found.extends))
        placed = msgspec.structs.replace(placed, brings=links.references(brought))
        threads.remember(session, number, call)
        while len(session.thread_ids) > _MAX_THREAD_IDS:
            del session.thread_ids[next(iter(session.thread_ids))]
        return placed

    def _place_alone(self, session: SessionState, call: LlmCall, exchange: Exchange) -> Placed:
        """Place a call without a conversation: in its process's turn, else in its own trace."""
        turns = [
            thread.turn
            for thread in session.threads.values()
            if thread.turn is not None and thread.pid == exchange.pid
        ]
        if turns and not session.imported:
            newest = max(turns, key=lambda turn: turn.start_ns)
            return _placed(call, exchange, _NO_THREAD, newest.trace_id, newest.span_id)
        trace = trace_id(session.id, exchange.connection, exchange.index, call.start_ns)
        return _placed(call, exchange, _NO_THREAD, trace, b"")

    def _begin_thread(self, session: SessionState, call: LlmCall, pid: int) -> int:
        while len(session.threads) >= self._output.settings.max_threads:
            oldest = min(session.threads, key=lambda item: session.threads[item].last_ns)
            if session.threads[oldest].turn is not None:
                self._output.meter.add("agentsight.evicted", 1, table="threads")
            self.end_thread(session, oldest, call.start_ns, "evicted")
            del session.threads[oldest]
        number = session.next_serial
        session.next_serial += 1
        kind = "side" if session.threads else "main"
        session.threads[number] = ThreadState(kind=kind, pid=pid, last_ns=call.end_ns)
        return number

    def _tools_cut_off(
        self,
        session: SessionState,
        number: int,
        call: LlmCall,
        found: threads.Continuation | None,
    ) -> None:
        """End open tools as the user speaks again: what this request does not bring never comes."""
        brought = {item.id for message in call.input for item in message.tool_results}
        for tool in session.tools:
            if tool.thread == number and found and found.extends and tool.id not in brought:
                tool.outcome = tool.outcome or "no_result"
                tool.end_ns = tool.end_ns or max(call.start_ns, tool.start_ns)

    def _cause(self, session: SessionState, call: LlmCall, pid: int, number: int) -> Cause | None:
        """Return the tool call that a new turn is part of: it is a subagent's."""
        prompt = threads.user_text(call).strip()
        for tool in reversed(session.tools):
            if tool.thread != number and not tool.outcome and _asks_for(tool, prompt):
                return Cause(
                    tool.trace_id,
                    tool.span_id,
                    "argument",
                    0.95,
                    by_tool=True,
                    tool_name=tool.name,
                )
        return self._causes.above(session, session.by_pid.get(pid))

    def _finish(self, session: SessionState, placed: Placed) -> None:
        """Write a logical call that is over, and open what it asks for."""
        call = placed.call
        thread = session.threads.get(placed.thread)
        write_call(self._output, session, placed, thread.kind if thread else "none")
        self._add_up(session, call)
        self._write_messages(session, placed)
        if thread is None or thread.turn is None:
            return
        if placed.attempts:
            threads.remember(session, placed.thread, call)
        self._turns.add_call(thread.turn, call)
        self._tools.open(session, placed, thread.turn.parent_span_id)
        if threads.is_final(call):
            self._turns.end(session, thread)

    def _add_up(self, session: SessionState, call: LlmCall) -> None:
        totals = session.totals
        totals.llm_calls += 1
        totals.failed_llm_calls += bool(call.error_type)
        totals.input_tokens += call.usage.input_tokens or 0
        totals.output_tokens += call.usage.output_tokens or 0
        totals.cost_usd += call.cost_usd or 0.0
        totals.unpriced_calls += call.cost_usd is None
        model = call.response_model or call.request_model
        if model and model not in totals.models:
            totals.models = sorted((*totals.models, model))

    def _write_messages(self, session: SessionState, placed: Placed) -> None:
        call = placed.call
        system = (call.system,) if call.system else ()
        for message in (*system, *call.input, *call.output):
            if message.hash in session.seen_messages:
                continue
            session.seen_messages[message.hash] = None
            self._output.message(session, call.end_ns, self._message(message))
        while len(session.seen_messages) > self._output.settings.max_messages:
            self._output.meter.add("agentsight.evicted", 1, table="messages")
            del session.seen_messages[next(iter(session.seen_messages))]

    def _message(self, message: Message) -> pb.ConversationMessage:
        limit = self._output.settings.max_message_bytes
        parts = storable(message.parts_json)
        whole = len(parts.encode()) <= limit
        return pb.ConversationMessage(
            hash=message.hash,
            role=storable(message.role),
            parts_json=parts if whole else cut_parts(message, limit),
            truncated=not whole,
        )


def _placed(call: LlmCall, exchange: Exchange, thread: int, trace: bytes, parent: bytes) -> Placed:
    about = (exchange.session, exchange.connection, exchange.index, call.start_ns)
    return Placed(
        call=call,
        thread=thread,
        trace_id=trace,
        span_id=span_id(trace, "call", *about),
        parent_span_id=parent,
        pid=exchange.pid,
        known=0,
        connection=exchange.connection,
        index=exchange.index,
        context=links.trace_context(exchange.request_header("traceparent")),
    )


def _asks_for(tool: ToolState, prompt: str) -> bool:
    """Tell whether `prompt` is, or holds, what the arguments of `tool` hand to a subagent."""
    if len(prompt) < _MIN_PROMPT_CHARS:
        return False
    prose = (text for text in tool.needles if len(text) >= _MIN_PROMPT_CHARS and " " in text)
    # Agents put reminders around what they hand on.
    return any(
        prompt.startswith(text)
        or prompt.endswith(text)
        or (text in prompt and 2 * len(text) >= len(prompt))
        for text in prose
    )
