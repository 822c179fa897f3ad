"""Reading the fields of a HAR, any of which may be missing or of another type."""

from __future__ import annotations

import math
from collections.abc import Mapping

Json = Mapping[str, object]


def text(fields: Json, key: str) -> str:
    """Return the string at `key`, or ""; lone surrogates, which UTF-8 cannot hold, are replaced."""
    value = fields.get(key)
    if not isinstance(value, str) or value.isascii():
        return value if isinstance(value, str) else ""
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def number(fields: Json, key: str) -> float:
    """Return the number ≥ 0 at `key`, or 0: -1 is HAR's word for "does not apply"."""
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 <= value < math.inf else 0.0


def objects(fields: Json, key: str) -> list[Json]:
    """Return the objects in the array at `key`."""
    value = fields.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def headers(message: Json) -> list[tuple[str, str]]:
    """Return the headers in lower case, without the pseudo-headers of HTTP/2."""
    pairs = [
        (text(item, "name").strip().lower(), text(item, "value"))
        for item in objects(message, "headers")
    ]
    return [(name, value) for name, value in pairs if name and not name.startswith(":")]
