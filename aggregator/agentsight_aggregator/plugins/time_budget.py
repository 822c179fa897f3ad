"""Ends a call of foreign code that takes too long.

By the timer signal of the process, as no other way stops a loop or a wait of the same thread. Works
in the main thread only. A call into C that never returns to the interpreter is not ended.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


class OutOfTime(BaseException):
    """The call took too long; no Exception, so that foreign code does not catch it by accident."""


def call_within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; raises OutOfTime in the midst of it after `seconds`."""
    armed = True

    def on_alarm(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            raise OutOfTime

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, on_alarm)
    # Again and again: whoever swallows the first one gets another.
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        try:
            return work()
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if delay:
            # Somebody else's timer goes on.
            rest = max(delay - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
