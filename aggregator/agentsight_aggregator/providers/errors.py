"""From a vendor's error to `error.type`.

OTel GenAI conventions: the value "SHOULD match the error code returned by the Generative AI
provider". The rule, the same for every vendor, is written down in docs/llm-reading.md: the most
specific identifier that the vendor gives, else the HTTP status.
"""

from __future__ import annotations

import re

from agentsight_aggregator.exchange import Exchange
from agentsight_aggregator.providers.drafts import CallError
from agentsight_aggregator.providers.payload import record, records, text

# OTel: what error.type is when nothing better is known.
OTHER = "_OTHER"
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
# Identifiers that say nothing, or only what the next candidate says better.
_EMPTY_WORDS = frozenset({"error", "none", "null", "unknown", "undefined", "object"})
_GENERIC_WORDS = frozenset({"invalid_request_error", "invalid_request"})
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
_RETRYABLE_TYPE = re.compile(
    r"overloaded|rate_limit|throttl|timeout|unavailable|api_error|server_error|internal"
    r"|resource_exhausted|not_ready|too_many_requests",
    re.IGNORECASE,
)


def read_error(value: object, exchange: Exchange) -> CallError:
    """Return the error that a JSON value (the body of a failed response, or a part of it) tells."""
    body = _outermost(value)
    error = body.get("error", body)
    if isinstance(error, str) and not (_is_code(error) and "_" in error):
        # "unauthorized" is a message, "invalid_token" (RFC 6749) a code.
        error = {"message": error}
    fields = record(error)
    kind = (
        _aws_name(exchange.response_header("x-amzn-errortype"))
        or _most_specific(fields)
        or (error if isinstance(error, str) else "")
        or _most_specific({**body, "error": None})
        or _status_word(exchange, fields)
    )
    return CallError(kind, _message_of(fields) or _message_of(body))


def is_error(value: dict[str, object]) -> bool:
    """Whether a JSON answer is an error although the HTTP status may say 200."""
    if value.get("type") == "error" or value.get("object") == "error":
        return True
    error = value.get("error")
    if error and (error is True or isinstance(error, dict | str)):
        return True
    return bool(record(value.get("base_resp")).get("status_code"))


def is_retryable(error_type: str, status: int, should_retry: str = "") -> bool:
    """Whether the answer says "try again"; `should_retry` is the header x-should-retry."""
    if should_retry in {"true", "false"}:
        return should_retry == "true"
    if not status or status >= 500 or status in _RETRYABLE_STATUS:
        return True
    return status < 400 and bool(_RETRYABLE_TYPE.search(error_type))


def _outermost(value: object) -> dict[str, object]:
    """Google's OpenAI-compatible API wraps the error in an array; watsonx has `errors`."""
    if isinstance(value, list):
        value = value[0] if value else None
    body = record(value)
    several = records(body.get("errors"))
    if several and "error" not in body:
        return {**body, "error": several[0]}
    base = record(body.get("base_resp"))
    if base.get("status_code"):
        return {"code": str(base["status_code"]), "message": text(base.get("status_msg"))}
    return body


def _most_specific(fields: dict[str, object]) -> str:
    """Return the best identifier among the fields that vendors put one in."""
    candidates = [
        # Google RPC
        text(fields.get("status")),
        text(fields.get("code")),
        text(fields.get("error_code")),
        text(fields.get("type")),
        text(fields.get("error_type")),
        text(fields.get("errorCode")),
        _aws_name(text(fields.get("__type"))),
    ]
    usable = [word for word in candidates if _is_code(word)]
    for word in usable:
        if word not in _GENERIC_WORDS:
            return word
    return usable[0] if usable else _vendor_number(fields)


def _vendor_number(fields: dict[str, object]) -> str:
    """Return a vendor's own number ("1211"); three digits are the HTTP status once more."""
    code = fields.get("code")
    word = str(code) if isinstance(code, int) and not isinstance(code, bool) else text(code)
    return word if word.isdigit() and len(word) > 3 else ""


def _is_code(word: str) -> bool:
    return word.lower() not in _EMPTY_WORDS and _IDENTIFIER.fullmatch(word) is not None


def _aws_name(value: str) -> str:
    """Return ThrottlingException for "com.amazon.coral#ThrottlingException:http://…"."""
    return value.partition(":")[0].rpartition("#")[2]


def _status_word(exchange: Exchange, fields: dict[str, object]) -> str:
    if exchange.status >= 400:
        return str(exchange.status)
    code = fields.get("code") or fields.get("status_code")
    word = str(code) if isinstance(code, int | str) and not isinstance(code, bool) else ""
    return word if word.isdigit() else OTHER


def _message_of(fields: dict[str, object]) -> str:
    for key in ("message", "Message", "error_message", "detail", "error", "msg", "title"):
        if text(fields.get(key)):
            return text(fields[key])
    return ""
