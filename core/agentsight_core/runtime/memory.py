"""Memory that the C library keeps for later and that is not needed later."""

from __future__ import annotations

import ctypes


def give_back_free_memory() -> None:
    """Return freed memory to the system (malloc_trim(3)).

    For after a start, or a burst, that needed more than the work that follows; where nothing is to
    be given back it takes microseconds. Other C libraries than glibc do it by themselves.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
