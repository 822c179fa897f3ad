"""Programs whose starts outside of sessions the kernel side does not tell: its tables of them.

Must not decide which they are.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from agentsight_agent.bpf.objects import BpfObject

# struct program_file of bpf/lib/familiar.bpf.h
_PROGRAM = struct.Struct("<QQII64s")
# enum familiarity
_FAMILIAR, _NO_MORE = b"\1", b"\2"
# MAX_MARKS and struct mark_list
MAX_MARKS = 8
_MARK_BYTES = 8
_MARKS = struct.Struct(f"<Q{2 * MAX_MARKS}Q")
# As many as the kernel side has room for.
_MAX_FAMILIAR = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """A program file with one content, under one of its names, as the kernel side knows it."""

    key: bytes

    @property
    def inode(self) -> int:
        """The number of the file."""
        return int(_PROGRAM.unpack(self.key)[0])

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return int(_PROGRAM.unpack(self.key)[1])


class FamiliarPrograms:
    """The tables of one loaded object; for any thread."""

    def __init__(self, loaded: BpfObject) -> None:
        self._loaded = loaded
        self._lock = threading.Lock()
        self._added: set[bytes] = set()
        self._allowed = False

    def started_by(self, pid: int) -> Program | None:
        """Return the program that a process has begun, if that was told and is not long ago."""
        key = self._loaded.map("started_programs").lookup(pid.to_bytes(4, "little"), _PROGRAM.size)
        return Program(key) if key is not None else None

    def add(self, program: Program) -> None:
        """Have the starts of a program left out, unless it was seen to use TLS."""
        with self._lock:
            if len(self._added) >= _MAX_FAMILIAR:
                self._clear()
            if self._allowed and self._loaded.map("familiar_programs").add(program.key, _FAMILIAR):
                self._added.add(program.key)

    def add_no_more(self, program: Program) -> None:
        """Have the starts of a program told, from now on and for good."""
        with self._lock:
            self._loaded.map("familiar_programs").update(program.key, _NO_MORE)
            self._added.discard(program.key)

    def allow(self, on: bool) -> None:
        """Leave starts out from now on, or none: nothing tells then what their processes do."""
        with self._lock:
            self._allowed = on
            if not on:
                self._clear()

    def _clear(self) -> None:
        """Have the starts of all programs told; those that use TLS stay known as such."""
        table = self._loaded.map("familiar_programs")
        for key in self._added:
            if table.lookup(key, 1) == _FAMILIAR:
                table.delete(key)
        self._added.clear()

    def set_marks(self, marks: Sequence[bytes]) -> None:
        """Have all starts told until `add` is called, and then those with one of `marks`.

        At most MAX_MARKS texts without zero bytes, none empty; of each the first bytes count.
        """
        if len(marks) > MAX_MARKS or not all(marks):
            raise ValueError(f"marks are {marks!r}; allowed: {MAX_MARKS} texts, none empty")
        packed = [number for mark in marks for number in _packed_mark(mark[:_MARK_BYTES])]
        packed += [0] * (2 * MAX_MARKS - len(packed))
        with self._lock:
            self._clear()
            self._loaded.map(".bss.marks").update(bytes(4), _MARKS.pack(len(marks), *packed))


def _packed_mark(text: bytes) -> tuple[int, int]:
    return int.from_bytes(text, "little"), (1 << 8 * len(text)) - 1
