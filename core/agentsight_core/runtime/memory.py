"""Memory that the C library keeps for later and that is not needed later."""

from __future__ import annotations

import ctypes


def give_back_free_memory() -> None:
    """Return freed memory to the system (malloc_trim(3)); takes a few ms.

    For after a start that needed more than the work that follows. Other C libraries than glibc do
    it by themselves.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
