"""The span and the measures of one logical call of a model.

Must not place the call: its trace, parent and thread are given. Attribute names are those of the
OTel GenAI conventions (client-inference.md).
"""

from __future__ import annotations

import msgspec
from agentsight_core.ids import digest
from agentsight_core.pb import findings_pb2 as pb

from agentsight_aggregator.analyzers import links
from agentsight_aggregator.analyzers.findings import (
    Attributes,
    Output,
    cut,
    event,
    storable,
)
from agentsight_aggregator.analyzers.state import Placed, SessionState
from agentsight_aggregator.call import LlmCall, Message
from agentsight_aggregator.samples import Labels

_MAX_STATUS_BYTES = 1024


def write_call(output: Output, session: SessionState, placed: Placed, thread_kind: str) -> None:
    """Write the span of `placed` and count it."""
    call = placed.call
    attributes = _attributes(call)
    attributes["agentsight.thread"] = thread_kind
    if placed.attempts:
        attributes["agentsight.retries"] = len(placed.attempts)
    if placed.pid:
        attributes["process.pid"] = placed.pid
    if session.agent_name:
        attributes["gen_ai.agent.name"] = session.agent_name
    _put_messages(attributes, placed, output)
    linked, omitted = links.of_call(placed)
    if omitted:
        attributes["agentsight.links.omitted"] = omitted
    if placed.context:
        # Searchable, which links are not: all calls that one request led to, of all agents.
        attributes["agentsight.trace_context.trace_id"] = placed.context.trace_id.hex()
    events = [
        event(
            attempt.end_ns,
            "agentsight.attempt",
            {
                "error.type": attempt.error_type,
                "http.response.status_code": attempt.status,
                "agentsight.attempt.duration_s": (attempt.end_ns - attempt.start_ns) / 1e9,
            },
        )
        for attempt in placed.attempts
    ]
    span = pb.Span(
        trace_id=placed.trace_id,
        span_id=placed.span_id,
        parent_span_id=placed.parent_span_id,
        name=storable(f"{call.operation} {call.request_model}".rstrip()),
        kind=pb.SPAN_KIND_CLIENT,
        start_ns=begin_ns(placed),
        end_ns=call.end_ns,
        status=pb.SPAN_STATUS_ERROR if call.error_type else pb.SPAN_STATUS_UNSET,
        status_message=storable(cut(call.error_message, _MAX_STATUS_BYTES)),
    )
    output.span(session, span, attributes, events, linked)
    _measure(output, session, placed)


def begin_ns(placed: Placed) -> int:
    """Return when the first attempt of the logical call began."""
    return placed.attempts[0].start_ns if placed.attempts else placed.call.start_ns


def _attributes(call: LlmCall) -> Attributes:
    attributes: Attributes = dict(call.attributes)
    attributes["gen_ai.operation.name"] = call.operation
    attributes["gen_ai.provider.name"] = call.provider
    attributes["gen_ai.request.stream"] = call.stream
    # On every call, so that "no tools" and "not known" are not the same.
    attributes["agentsight.response.tool_names"] = tuple(tool.name for tool in call.tool_calls)
    attributes["agentsight.api"] = call.api
    texts = {
        "gen_ai.request.model": call.request_model,
        "gen_ai.response.model": call.response_model,
        "gen_ai.response.id": call.response_id,
        "gen_ai.conversation.id": call.conversation_id,
        "agentsight.request.id": call.request_id,
        "server.address": call.server_address,
        "error.type": call.error_type,
    }
    attributes.update({key: text for key, text in texts.items() if text})
    usage = call.usage
    numbers: dict[str, int | float | None] = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
        # The older name, which the Jaeger UI reads.
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "agentsight.cost.usd": call.cost_usd,
        "server.port": call.server_port or None,
        "http.response.status_code": call.status or None,
        "gen_ai.response.time_to_first_chunk": _first_chunk_s(call),
    }
    attributes.update({key: number for key, number in numbers.items() if number is not None})
    if call.finish_reasons:
        attributes["gen_ai.response.finish_reasons"] = call.finish_reasons
    if call.problems:
        attributes["agentsight.problems"] = call.problems
    return attributes


def _first_chunk_s(call: LlmCall) -> float | None:
    """Return seconds from the request to the first generated content, None without any."""
    return max(0, call.first_chunk_ns - call.start_ns) / 1e9 if call.first_chunk_ns else None


def _put_messages(attributes: Attributes, placed: Placed, output: Output) -> None:
    call = placed.call
    if call.input:
        attributes["agentsight.input.messages"] = len(call.input)
        attributes["agentsight.input.hash"] = digest(
            *(message.hash for message in call.input), size=16
        ).hex()
        new = call.input[placed.known :]
        attributes["agentsight.input.new_hashes"] = tuple(item.hash.hex() for item in new[-16:])
    if call.output:
        attributes["agentsight.output.hashes"] = tuple(item.hash.hex() for item in call.output)
    if not output.settings.content_on_spans:
        return
    limit = output.settings.max_content_bytes
    if call.system is not None:
        _put_system(attributes, call.system, limit)
    if call.input:
        _put_list(attributes, "gen_ai.input.messages", call.input, limit)
    if call.output:
        _put_list(attributes, "gen_ai.output.messages", call.output, limit)


def _put_system(attributes: Attributes, system: Message, limit: int) -> None:
    size = len(system.parts_json.encode("utf-8", "replace"))
    whole = size <= limit
    attributes["gen_ai.system_instructions"] = (
        system.parts_json if whole else cut_parts(system, limit)
    )
    if not whole:
        attributes["agentsight.cut.gen_ai.system_instructions.bytes"] = size
        attributes["agentsight.cut.gen_ai.system_instructions.hash"] = system.hash.hex()


def _put_list(attributes: Attributes, key: str, messages: tuple[Message, ...], limit: int) -> None:
    """Set `key` to the last messages that fit, as valid JSON.

    What was cut says how many messages are left out, how long the parts of all are, and the hash
    of their hashes.
    """
    kept: list[str] = []
    room = limit - 2
    for message in reversed(messages):
        text = _message_json(message, room if not kept else 0)
        room -= len(text.encode("utf-8", "replace")) + 1
        if room < 0 and kept:
            break
        kept.append(text)
    attributes[key] = f"[{','.join(reversed(kept))}]"
    if len(kept) < len(messages):
        attributes[f"agentsight.cut.{key}.omitted"] = len(messages) - len(kept)
    elif kept[0].endswith(f"{messages[-1].parts_json}}}"):
        return
    attributes[f"agentsight.cut.{key}.bytes"] = sum(
        len(message.parts_json.encode("utf-8", "replace")) for message in messages
    )
    hashes = (message.hash for message in messages)
    attributes[f"agentsight.cut.{key}.hash"] = digest(*hashes, size=16).hex()


def _message_json(message: Message, limit: int) -> str:
    """Return the message as JSON; with a `limit` in bytes its parts are cut to text if need be."""
    parts = message.parts_json
    if limit and len(parts.encode("utf-8", "replace")) > limit - 64:
        parts = cut_parts(message, limit - 128)
    return f'{{"role":{msgspec.json.encode(message.role).decode()},"parts":{parts}}}'


def cut_parts(message: Message, limit: int) -> str:
    """Return the parts of `message` as one text part whose JSON fits into `limit` bytes.

    JSON escapes make text up to six times longer, so the text is halved until it fits.
    """
    text = storable(message.text or message.parts_json)
    room = limit
    while True:
        part = {"type": "text", "content": cut(text, room), "agentsight.cut": True}
        encoded = msgspec.json.encode([part]).decode()
        if len(encoded.encode()) <= limit or room <= 0:
            return encoded
        room //= 2


def _measure(output: Output, session: SessionState, placed: Placed) -> None:
    call, meter = placed.call, output.meter
    at = (placed.trace_id, call.end_ns)
    labels = call_labels(call)
    failed = (
        tuple(sorted((*labels, ("error.type", call.error_type)))) if call.error_type else labels
    )
    meter.add_labelled("agentsight.llm.calls", 1, failed)
    seconds = (call.end_ns - begin_ns(placed)) / 1e9
    meter.record("gen_ai.client.inference.duration", seconds, failed, *at)
    if placed.attempts:
        meter.add_labelled("agentsight.llm.retries", len(placed.attempts), labels)
    first_s = _first_chunk_s(call)
    if call.stream and first_s is not None:
        meter.record("gen_ai.client.inference.time_to_first_chunk", first_s, labels, *at)
        if call.chunks > 1:
            gap_s = (call.end_ns - call.first_chunk_ns) / 1e9 / (call.chunks - 1)
            meter.record("gen_ai.client.inference.time_per_output_chunk", gap_s, labels, *at)
    _measure_usage(output, call, labels)
    _measure_user(output, session, call)


def _measure_usage(output: Output, call: LlmCall, labels: Labels) -> None:
    usage, meter = call.usage, output.meter
    # Vendors do not split their sums by modality in a way that all share.
    labels = tuple(sorted((*labels, ("gen_ai.token.modality", "unknown"))))
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read.input_tokens": usage.cache_read_tokens,
        "cache_write.input_tokens": usage.cache_write_tokens,
        "reasoning.output_tokens": usage.reasoning_tokens,
    }
    for kind, count in counts.items():
        if count is not None:
            meter.add_labelled(f"gen_ai.client.inference.usage.{kind}", count, labels)
    if call.cost_usd is None:
        meter.add_labelled("agentsight.llm.unpriced_calls", 1, call_labels(call))
    else:
        meter.add_labelled("agentsight.cost", call.cost_usd, call_labels(call))


def _measure_user(output: Output, session: SessionState, call: LlmCall) -> None:
    """Add the call to the sums of whom the session runs as."""
    user = str(session.uid) if session.uid >= 0 else "unknown"
    place = (("k8s.namespace.name", session.namespace),) if session.namespace else ()
    labels = (("gen_ai.agent.name", session.agent_name), *place, ("user.id", user))
    meter = output.meter
    meter.add_labelled("agentsight.user.calls", 1, labels)
    if call.cost_usd is not None:
        meter.add_labelled("agentsight.user.cost", call.cost_usd, labels)
    counts = {"input": call.usage.input_tokens, "output": call.usage.output_tokens}
    for kind, count in counts.items():
        if count is not None:
            key = (("agentsight.kind", kind), *labels)
            meter.add_labelled("agentsight.user.tokens", count, key)


def call_labels(call: LlmCall) -> Labels:
    """Return the labels that OTel asks for on every metric of a call, sorted."""
    labels = {
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.request_model,
        "gen_ai.response.model": call.response_model,
        "server.address": call.server_address,
        "server.port": str(call.server_port) if call.server_port else "",
    }
    return tuple(sorted((key, value) for key, value in labels.items() if value))
