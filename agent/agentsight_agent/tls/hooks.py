"""One probe on a TLS function: what the function is, and where in the file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class HookKind(IntEnum):
    """Signature and meaning of the hooked function."""

    READ = 1
    WRITE = 2
    READ_EX = 3
    WRITE_EX = 4
    FREE = 5


@dataclass(frozen=True, slots=True)
class TlsHook:
    """A hook of `kind` at byte `offset` of the file."""

    kind: HookKind
    offset: int
