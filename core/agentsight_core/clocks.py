"""The clock that events and records are ordered by: nobody sets it."""

from __future__ import annotations

import time

# Counts suspended time too; on macOS that is what CLOCK_MONOTONIC does.
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_ns() -> int:
    """Return the time since boot in nanoseconds, suspended time included."""
    return time.clock_gettime_ns(_BOOT)
