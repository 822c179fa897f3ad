"""A bound on how fast bytes go out: after an outage many agents have much to send at once.

Must not know what the bytes are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

# So much may go out at once after a rest.
_BURST_SECONDS = 1.0


class Pace:
    """Lets bytes pass in the order of asking; `bytes_per_second` may change, 0 is no bound."""

    def __init__(self, bytes_per_second: Callable[[], int]) -> None:
        self._bytes_per_second = bytes_per_second
        # When all that has passed would have gone out at the bound.
        self._free_at = 0.0

    async def wait(self, size: int) -> None:
        """Return when `size` bytes may go out."""
        rate = self._bytes_per_second()
        if not rate:
            return
        now = monotonic()
        self._free_at = max(self._free_at, now - _BURST_SECONDS) + size / rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
