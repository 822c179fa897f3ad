"""Reading JSON that others wrote: strict first, tolerant second, and never an exception.

Everything here takes `object`, because a field of a foreign document may be anything, and gives the
asked-for type or its empty value.
"""

from __future__ import annotations

import json
import re

import msgspec

_DECODER = msgspec.json.Decoder()
_LENIENT = json.JSONDecoder(strict=False)
_MAX_COUNT = 2**53
TOO_DEEP = "JSON is nested too deeply"
CUT = "JSON is cut or broken"
# The brace or comma before a member of an object, its key, and the colon.
_MEMBER = re.compile(r'\s*[{,]\s*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)


def decode_json(data: bytes) -> tuple[object, str]:
    """Return the JSON value of `data` and "", or what could be had and what was wrong.

    Tolerates what other producers get wrong: NaN and Infinity, control characters in strings,
    invalid UTF-8, lone surrogates, text after the value. Of an object that breaks off, the members
    before the break are returned. (None, problem) when there is no value.
    """
    try:
        return _DECODER.decode(data), ""
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _decode_leniently(data, str(error))
    except RecursionError:
        return None, TOO_DEEP


def decode_whole_json(data: bytes) -> tuple[object, str]:
    """Return like `decode_json`, but nothing of a value that breaks off."""
    value, problem = decode_json(data)
    return (None, problem) if problem.startswith(CUT) else (value, problem)


def _decode_leniently(data: bytes, problem: str) -> tuple[object, str]:
    text = data.decode("utf-8-sig", "replace").lstrip()
    if text[:5] == ")]}'\n":
        text = text[5:].lstrip()
    try:
        value, end = _LENIENT.raw_decode(text)
        value = _without_surrogates(value)
    except RecursionError:
        return None, TOO_DEEP
    except ValueError:
        pairs = _complete_pairs(text)
        return (pairs, f"{CUT}: {problem}") if pairs else (None, f"not JSON: {problem}")
    if text[end:].strip():
        problem = f"{len(text) - end} characters follow the JSON value"
    return value, f"lenient JSON: {problem}"


def _complete_pairs(text: str) -> dict[str, object]:
    """Return the members of an object that stand whole before the place where its text breaks."""
    pairs: dict[str, object] = {}
    position = 0
    while match := _MEMBER.match(text, position):
        try:
            key, _ = _LENIENT.raw_decode(match[1])
            value, position = _LENIENT.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            break
        # A number at the very end may lack digits.
        if position == len(text):
            break
        pairs[str(_without_surrogates(key))] = _without_surrogates(value)
    return pairs


def _without_surrogates(value: object) -> object:
    """Replace lone surrogates, which no UTF-8 string may hold."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {str(_without_surrogates(k)): _without_surrogates(v) for k, v in value.items()}
    return value


def encode_json(value: object) -> str:
    """Return `value` as compact JSON with sorted keys: equal values give equal text."""
    try:
        return msgspec.json.encode(value, order="sorted").decode()
    except (RecursionError, msgspec.EncodeError, OverflowError):
        return '"(not representable)"'


def record(value: object) -> dict[str, object]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def records(value: object) -> list[dict[str, object]]:
    """Return the JSON objects among the items of `value`; [] when it is no array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return `value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int | None:
    """Return `value` if it is a count: a whole number ≥ 0, also written as 12.0; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and 0 <= value < _MAX_COUNT:
        return int(value)
    if isinstance(value, int) and 0 <= value < _MAX_COUNT:
        return value
    return None


def total(*values: int | None) -> int | None:
    """Return the sum of the known values, None when none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def number(value: object) -> float | None:
    """Return `value` as a float if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -1e300 < value < 1e300:
        return None
    return float(value)


def texts(value: object) -> tuple[str, ...]:
    """Return the strings in `value`, which is a string or an array."""
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
