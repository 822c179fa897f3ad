"""From an exchange to a call of a model: find the wire format, run its readers, join the result."""

from __future__ import annotations

import re
from bisect import bisect_right

from agentsight_core.endpoints import Endpoint, find_endpoint, find_socket

from agentsight_aggregator.call import LlmCall, Usage
from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.prices import cost_usd
from agentsight_aggregator.providers.bodies import Body, read_body, read_json_lines
from agentsight_aggregator.providers.drafts import Answer, CallError, Request, WireFormat
from agentsight_aggregator.providers.errors import OTHER, is_error, is_retryable, read_error
from agentsight_aggregator.providers.formats import FORMATS, refine
from agentsight_aggregator.providers.payload import TOO_DEEP, count, decode_json, record, text

# Exchange.problem in words of the capture: bytes that we did not get, not a call that failed.
_CAPTURE_PROBLEM = re.compile(
    r"missing|configured cap|watcher|closed early|a second time|no more events"
    r"|session ended|does not say|lacks|not base64|not a valid|content coding"
)
_STREAM_TYPE = re.compile(r"event-stream|ndjson|stream\+json")
# One of them is in the answer, or in its first chunk, of every format that its path does not prove.
_ANSWER_KEYS = frozenset(
    {"usage", "model", "choices", "message", "response", "content", "generated_text", "token"}
)
_TIMEOUT = re.compile(r"time[d_ -]*out", re.IGNORECASE)
_REQUEST_ID_HEADERS = (
    "request-id",
    "x-request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-ms-request-id",
    "cf-ray",
)
# Where a model in the body, if there is one, only repeats the one in the path.
_MODEL_IN_PATH = frozenset({"aws.bedrock", "gcp.vertex_ai"})
_DEFAULT_PORTS = {"https": 443, "http": 80}


def read_call(exchange: Exchange) -> LlmCall | None:
    """Return the call of a model that `exchange` is, or None when it is none.

    Never raises, whatever the bodies hold: what cannot be read is named in `problems`, and what is
    not on the wire is not in the result.
    """
    endpoint = _find_endpoint(exchange)
    if endpoint is None:
        return None
    request_json, problem = _decode_request(exchange)
    endpoint = refine(endpoint, request_json)
    if endpoint is None:
        return None
    wire = FORMATS[endpoint.api](endpoint)
    body = _read_body(exchange)
    if not endpoint.certain and not _is_proven(wire, exchange, request_json, body):
        return None
    problems = [f"request: {problem}"] if problem else []
    try:
        request = wire.read_request(request_json)
        answer = _read_answer(wire, exchange, body, problems)
    except RecursionError:
        # Content within content within content, deeper than Python's stack.
        problems.append(TOO_DEEP)
        request, answer = Request(model=text(request_json.get("model"))), Answer()
    if answer.is_no_call:
        return None
    if problem and "stream" not in request_json:
        # The body that would say so is missing or cut: the answer tells.
        request.stream = _STREAM_TYPE.search(exchange.response_header("content-type")) is not None
    return _join(exchange, endpoint, request, answer, _error_of(exchange, answer, body), problems)


def _find_endpoint(exchange: Exchange) -> Endpoint | None:
    if exchange.is_websocket:
        return find_socket(exchange.authority, exchange.target)
    if 300 <= exchange.status < 400 or exchange.status == 101:
        return None
    content_type = exchange.request_header("content-type")
    return find_endpoint(exchange.method, exchange.authority, exchange.target, content_type)


def _read_body(exchange: Exchange) -> Body:
    if exchange.is_websocket:
        return read_json_lines(exchange.response_body)
    return read_body(exchange.response_body, exchange.response_header("content-type"))


def _decode_request(exchange: Exchange) -> tuple[dict[str, object], str]:
    if not exchange.request_body.strip():
        return {}, "the body is empty"
    value, problem = decode_json(exchange.request_body)
    if not isinstance(value, dict):
        return {}, problem or "the body is no JSON object"
    return value, problem


def _is_proven(
    wire: WireFormat, exchange: Exchange, request: dict[str, object], body: Body
) -> bool:
    """Whether the bodies look like the format, where the head alone proves nothing.

    Other programs have messages, prompts and inputs too: either a model is asked for by name, or
    the answer looks like one.
    """
    first = record(body.whole) or (body.chunks[0].value if body.chunks else {})
    answered = not _ANSWER_KEYS.isdisjoint(first)
    if not exchange.request_body.strip():
        return answered
    if not wire.proof:
        return True
    asked = any(key in request for key in wire.proof)
    return asked and (answered or bool(text(request.get("model"))))


def _read_answer(wire: WireFormat, exchange: Exchange, body: Body, problems: list[str]) -> Answer:
    """Return the answer; a failed one is not read for content."""
    problems += [f"response: {problem}" for problem in body.problems]
    if exchange.status >= 400 or exchange.status == 0:
        return Answer()
    if body.chunks is not None:
        answer = wire.read_stream(body.chunks)
        answer.finished = answer.finished or body.done
        failed = next((c for c in body.chunks if c.event == "error" or is_error(c.value)), None)
        answer.failure = failed.value if failed else answer.failure
        return answer
    whole = record(body.whole)
    if whole:
        answer = wire.read_answer(whole)
        answer.failure = whole if is_error(whole) else answer.failure
        return answer
    if body.is_empty:
        problems.append("response: the body is empty")
    return Answer()


def _error_of(exchange: Exchange, answer: Answer, body: Body) -> CallError | None:
    """Return why the call failed; None when it did not, or when the capture cannot tell."""
    if exchange.status >= 400:
        value = body.whole or (body.chunks[0].value if body.chunks else None)
        error = read_error(value, exchange)
        return error if error.message else error._replace(message=_plain_text(exchange))
    if answer.failure is not None:
        return read_error(answer.failure, exchange)
    whole_answer = answer.finished if body.chunks is not None else body.whole and not body.is_cut
    if (whole_answer and exchange.status) or _CAPTURE_PROBLEM.search(exchange.problem):
        # Many clients close the connection as soon as they have read the end mark.
        return None
    return _broken(exchange, body)


def _broken(exchange: Exchange, body: Body) -> CallError | None:
    """Return the error of a call whose answer did not come, not to its end, or not readable."""
    if exchange.problem or exchange.status == 0:
        kind = "timeout" if _TIMEOUT.search(exchange.problem) else "aborted"
        return CallError(kind, exchange.problem or "no response arrived")
    if body.chunks is not None or body.is_cut:
        return CallError("aborted", "the answer breaks off before its end")
    return None if body.is_empty else CallError(OTHER, "the answer cannot be read")


def _plain_text(exchange: Exchange) -> str:
    """Return the words of an error that is not JSON, of a proxy for example; no HTML."""
    words = exchange.response_body[:300].decode("utf-8", "replace").strip()
    return "" if words.startswith(("<", "{", "[")) else words


def _join(
    exchange: Exchange,
    endpoint: Endpoint,
    request: Request,
    answer: Answer,
    error: CallError | None,
    problems: list[str],
) -> LlmCall:
    stream = request.stream or endpoint.stream is True
    if exchange.problem:
        problems.append(exchange.problem)
    address, port = _server(exchange)
    first_chunk_ns, chunks = _chunk_times(exchange, answer) if stream else (0, 0)
    error_type = error.type if error else ""
    should_retry = exchange.response_header("x-should-retry")
    request_model = request.model or endpoint.model
    if endpoint.model and endpoint.provider in _MODEL_IN_PATH:
        request_model = endpoint.model
    usage = _usage_of(exchange, endpoint, answer)
    return LlmCall(
        provider=endpoint.provider,
        api=endpoint.api,
        operation=endpoint.operation,
        request_model=request_model,
        response_model=answer.model,
        response_id=answer.id,
        request_id=_request_id(exchange),
        conversation_id=request.conversation_id or answer.conversation_id,
        stream=stream,
        attributes={**request.attributes, **answer.attributes},
        system=request.system,
        input=tuple(request.messages),
        output=tuple(answer.messages),
        tool_definitions=request.tools,
        finish_reasons=tuple(answer.finish_reasons),
        usage=usage,
        cost_usd=cost_usd(
            endpoint.provider,
            (answer.model, request_model),
            answer.billed or usage,
            exchange.start_ns,
        ),
        error_type=error_type,
        error_message=error.message if error else "",
        retryable=bool(error) and is_retryable(error_type, exchange.status, should_retry),
        status=exchange.status,
        start_ns=exchange.start_ns,
        end_ns=exchange.end_ns,
        first_chunk_ns=first_chunk_ns,
        chunks=chunks,
        server_address=address,
        server_port=port,
        problems=tuple(problems),
    )


def _usage_of(exchange: Exchange, endpoint: Endpoint, answer: Answer) -> Usage:
    """Return the counts of the body, or those that Bedrock gives in headers."""
    usage = answer.usage
    if endpoint.api == "bedrock.invoke" and usage.input_tokens is None:
        usage = Usage(
            input_tokens=_header_count(exchange, "x-amzn-bedrock-input-token-count"),
            output_tokens=usage.output_tokens
            or _header_count(exchange, "x-amzn-bedrock-output-token-count"),
        )
    if endpoint.operation == "embeddings":
        # An embedding has no output tokens; some vendors write 0.
        return Usage(input_tokens=usage.input_tokens, cache_read_tokens=usage.cache_read_tokens)
    return usage


def _header_count(exchange: Exchange, name: str) -> int | None:
    value = exchange.response_header(name)
    return count(int(value)) if value.isascii() and value.isdigit() and len(value) < 16 else None


def _request_id(exchange: Exchange) -> str:
    for name in _REQUEST_ID_HEADERS:
        value = exchange.response_header(name)
        if value:
            return value
    return ""


def _server(exchange: Exchange) -> tuple[str, int]:
    host = exchange.authority.rpartition("@")[2]
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit() and not name.endswith(":"):
        return name, int(port)
    known = exchange.peer_port or _DEFAULT_PORTS.get(exchange.scheme, 0)
    return host or exchange.peer_address, known


def _chunk_times(exchange: Exchange, answer: Answer) -> tuple[int, int]:
    """Return when the first piece of generated content arrived, and how many there are."""
    if not answer.content_offsets or not exchange.response_pieces:
        return 0, len(answer.content_offsets)
    starts = [offset for offset, _ in exchange.response_pieces]
    index = max(bisect_right(starts, answer.content_offsets[0]) - 1, 0)
    return exchange.response_pieces[index][1], len(answer.content_offsets)
