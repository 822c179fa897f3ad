"""What a process that runs for long does about its memory, that of Python and of the C library."""

from __future__ import annotations

import ctypes
import gc


def give_back_free_memory() -> None:
    """Return freed memory to the system (malloc_trim(3)).

    For after a start, or a burst, that needed more than the work that follows; where nothing is to
    be given back it takes microseconds. Other C libraries than glibc do it by themselves.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_what_is_loaded() -> None:
    """Leave out of all later collections what is there now (gc.freeze).

    For after a start: modules, and what lives as long as the process. To look through them took 15
    ms each time in the agent, in which nothing is drained.
    """
    gc.collect()
    gc.freeze()
