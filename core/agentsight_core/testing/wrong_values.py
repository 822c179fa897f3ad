"""JSON in which one value is not what its reader expects: for readers that must not fail on any."""

from __future__ import annotations

from collections.abc import Iterator

_WRONG: tuple[object, ...] = (
    *(None, True, -1, 1.5, 10**30),
    *("x", "\ud800"),
    *([], {}, [7], [[]], [{}]),
)


def every_wrong(value: object) -> Iterator[object]:
    """Yield `value`, of JSON, with each part of it, one at a time, replaced by each wrong one."""
    yield from _WRONG
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: wrong} for wrong in every_wrong(part))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            rest = value[index + 1 :]
            yield from ([*value[:index], wrong, *rest] for wrong in every_wrong(part))
