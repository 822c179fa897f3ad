"""Child processes that do not outlive us."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent() -> None:
    """Ask the kernel to end this child when its parent is gone (runs between fork and exec)."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
