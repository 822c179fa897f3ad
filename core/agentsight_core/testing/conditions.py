"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return when `condition` holds; raises TimeoutError if it does not in `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the condition belongs to another process or task
            await asyncio.sleep(0.005)


async def eventually_gives(read: Callable[[], _T], expected: _T, seconds: float = 30.0) -> None:
    """Return when `read` gives `expected`; raises AssertionError with what it gave at last."""
    last: _T | None = None

    def is_expected() -> bool:
        nonlocal last
        last = read()
        return last == expected

    try:
        await eventually(is_expected, seconds)
    except TimeoutError:
        raise AssertionError(f"{last!r} after {seconds} s; expected: {expected!r}") from None
