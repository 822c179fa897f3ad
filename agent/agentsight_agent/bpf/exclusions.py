"""Programs of which nothing is to be recorded, in the form in which the kernel side knows them.

Must not decide which they are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# struct excluded_program, PROGRAM_NAME_BYTES and ANY_USER of bpf/lib/exclusions.bpf.h
_NAME_BYTES = 64
_KEY = struct.Struct(f"<I{_NAME_BYTES}s")
_ANY_USER = 0xFFFFFFFF
# With the zero byte behind it.
MAX_NAME_BYTES = _NAME_BYTES - 1


@dataclass(frozen=True, slots=True)
class ExcludedProgram:
    """A file name of at most MAX_NAME_BYTES, of one user; "" = all programs, None = all users."""

    name: str = ""
    uid: int | None = None

    def packed(self) -> bytes:
        """Return it as a key of the kernel's table."""
        return _KEY.pack(_ANY_USER if self.uid is None else self.uid, self.name.encode())
