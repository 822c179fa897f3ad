"""User turns: the root of a trace, from the user's word to the answer that asks for nothing more.

Must not find out which call belongs where (that is `threads`).
"""

from __future__ import annotations

from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers import links
from agentsight_aggregator.analyzers.findings import Attributes, Output, span_id, storable, trace_id
from agentsight_aggregator.analyzers.state import (
    Cause,
    SessionState,
    SpanRef,
    ThreadState,
    TurnState,
    TurnWindow,
)
from agentsight_aggregator.call import LlmCall

# How many turns that are over can still take up effects that are placed late.
_MAX_CLOSED = 64


class Turns:
    """Begins turns, adds calls up, writes the span when a turn is over."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def begin(
        self,
        session: SessionState,
        thread: ThreadState,
        call: LlmCall,
        key: tuple[int, int],
        cause: Cause | None,
    ) -> TurnState:
        """Begin a turn with `call`, which is exchange `key`; `cause` is what started a subagent."""
        about = (session.id, *key, call.start_ns)
        trace = cause.trace_id if cause else trace_id(*about)
        thread.turn = TurnState(
            trace_id=trace,
            span_id=span_id(trace, "turn", *about),
            parent_span_id=cause.parent_span_id if cause else b"",
            start_ns=call.start_ns,
            end_ns=call.end_ns,
            pid=thread.pid,
            kind=thread.kind,
            conversation_id=call.conversation_id,
            previous=thread.last_turn,
        )
        session.totals.turns += 1
        self._output.meter.add("agentsight.turns", 1, gen_ai__agent__name=session.agent_name)
        return thread.turn

    def add_call(self, turn: TurnState, call: LlmCall) -> None:
        """Add a finished call to the sums of its turn."""
        turn.llm_calls += 1
        turn.tool_calls += len(call.tool_calls)
        turn.end_ns = max(turn.end_ns, call.end_ns)
        turn.input_tokens += call.usage.input_tokens or 0
        turn.output_tokens += call.usage.output_tokens or 0
        turn.cost_usd += call.cost_usd or 0.0
        turn.unpriced_calls += call.cost_usd is None
        turn.models = _with(turn.models, call.request_model or call.response_model)
        turn.providers = _with(turn.providers, call.provider)
        turn.error_type = call.error_type
        turn.finish_reasons = call.finish_reasons

    def end(self, session: SessionState, thread: ThreadState) -> None:
        """Write the span of the turn of `thread`, if there is one."""
        turn = thread.turn
        if turn is None:
            return
        thread.turn, thread.last_turn = None, SpanRef(turn.trace_id, turn.span_id)
        session.summary_due = True
        window = TurnWindow(turn.trace_id, turn.span_id, turn.start_ns, turn.end_ns, turn.kind)
        session.closed_turns = [*session.closed_turns[1 - _MAX_CLOSED :], window]
        span = pb.Span(
            trace_id=turn.trace_id,
            span_id=turn.span_id,
            parent_span_id=turn.parent_span_id,
            name=storable(f"invoke_agent {session.agent_name}"),
            kind=pb.SPAN_KIND_INTERNAL,
            start_ns=turn.start_ns,
            end_ns=turn.end_ns,
            status=pb.SPAN_STATUS_ERROR if turn.error_type else pb.SPAN_STATUS_UNSET,
        )
        before = links.previous_turn(turn.previous)
        self._output.span(session, span, _attributes(session, turn), links=before)
        self._measure(session, turn)

    def _measure(self, session: SessionState, turn: TurnState) -> None:
        labels = [("gen_ai.agent.name", session.agent_name)]
        meter = self._output.meter
        at = (turn.trace_id, turn.end_ns)
        meter.record("gen_ai.invoke_agent.inference_calls", turn.llm_calls, tuple(labels), *at)
        meter.record("gen_ai.invoke_agent.tool_calls", turn.tool_calls, tuple(labels), *at)
        if turn.error_type:
            labels.append(("error.type", turn.error_type))
        if len(turn.models) == 1:
            labels.append(("gen_ai.request.model", turn.models[0]))
        seconds = (turn.end_ns - turn.start_ns) / 1e9
        meter.record("gen_ai.invoke_agent.duration", seconds, tuple(sorted(labels)), *at)


def _attributes(session: SessionState, turn: TurnState) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": session.agent_name,
        "gen_ai.usage.input_tokens": turn.input_tokens,
        "gen_ai.usage.output_tokens": turn.output_tokens,
        "agentsight.thread": turn.kind,
        "agentsight.turn.llm_calls": turn.llm_calls,
        "agentsight.turn.tool_calls": turn.tool_calls,
        "agentsight.turn.models": turn.models,
        "agentsight.turn.providers": turn.providers,
    }
    if turn.unpriced_calls < turn.llm_calls:
        attributes["agentsight.cost.usd"] = turn.cost_usd
    if turn.unpriced_calls:
        attributes["agentsight.cost.unpriced_calls"] = turn.unpriced_calls
    if turn.conversation_id:
        attributes["gen_ai.conversation.id"] = turn.conversation_id
    if turn.finish_reasons:
        attributes["gen_ai.response.finish_reasons"] = turn.finish_reasons
    if turn.error_type:
        attributes["error.type"] = turn.error_type
    if turn.pid:
        attributes["process.pid"] = turn.pid
    return attributes


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if not name or name in names else tuple(sorted((*names, name)))
