"""Function calls that Vertex AI streams argument by argument, put together.

https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest (FunctionCall.partialArgs,
.willContinue): the first part has the name, later ones a JSON Path (RFC 9535) and a piece of the
value there, and the last one nothing.
"""

from __future__ import annotations

import re

from agentsight_aggregator.providers.payload import record, records, text

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"](.*?)['\"]\]")
_VALUES = ("stringValue", "numberValue", "boolValue")


def join_calls(parts: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the raw `parts` of one candidate with each function call in one piece."""
    joined: list[dict[str, object]] = []
    arguments: dict[str, object] | None = None
    for part in parts:
        call = record(part.get("functionCall"))
        continues = call.get("willContinue") is True
        if arguments is not None and "functionCall" in part and not call.get("name"):
            _add(arguments, call)
        elif continues:
            arguments = dict(record(call.get("args")))
            _add(arguments, call)
            joined.append({**part, "functionCall": {**call, "args": arguments}})
        else:
            joined.append(part)
        if "functionCall" in part and not continues:
            arguments = None
    return joined


def _add(arguments: dict[str, object], call: dict[str, object]) -> None:
    for piece in records(call.get("partialArgs")):
        value = next((piece[key] for key in _VALUES if key in piece), None)
        _put(arguments, _steps(text(piece.get("jsonPath"))), value)


def _steps(path: str) -> list[str | int]:
    """Return the keys and indexes of a path like $.to[0]['first name']."""
    return [int(index) if index else key or quoted for key, index, quoted in _STEP.findall(path)]


def _put(root: dict[str, object], steps: list[str | int], value: object) -> None:
    """Set `value` at `steps`, after the text that is there already."""
    place: object = root
    for number, step in enumerate(steps):
        is_last = number == len(steps) - 1
        inner: object = [] if not is_last and isinstance(steps[number + 1], int) else {}
        held = _held(place, step)
        if is_last:
            whole = held + value if isinstance(held, str) and isinstance(value, str) else value
            _set(place, step, whole)
        elif not isinstance(held, dict | list):
            _set(place, step, inner)
        place = _held(place, step)


def _held(place: object, step: str | int) -> object:
    if isinstance(place, dict):
        return place.get(step)
    if isinstance(place, list) and isinstance(step, int) and step < len(place):
        return place[step]
    return None


def _set(place: object, step: str | int, value: object) -> None:
    """Set what `step` names; items of an array come in order, one beyond the next is none."""
    if isinstance(place, dict):
        place[str(step)] = value
    elif isinstance(place, list) and isinstance(step, int) and step <= len(place):
        place[step : step + 1] = [value]
