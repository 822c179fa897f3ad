"""Reads what a probe needs from an ELF file: symbols, code bytes, file offsets.

Only 64-bit little-endian files. Symbols are found by searching the string table, so that a 100 MB
executable costs milliseconds. The file belongs to someone else, maybe to a hostile container: it is
read with pread (a mapping would raise SIGBUS when the file is cut), only if it is a regular file,
and every size that it claims is bounded. Must not know what the symbols mean.

Source: System V ABI, chapters 4 and 5 (ELF-64 object file format).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import TracebackType

EM_X86_64 = 62

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_PT_LOAD = 1
_SHT_SYMTAB = 2
_SHT_NOBITS = 8
_SHT_DYNSYM = 11
_STT_FUNC = 2
_MAGIC = b"\x7fELF\x02\x01"

# Enough of a function to see all that it calls.
_CODE_BYTES = 4096
# Every chunk is read into the same memory: fresh pages would cost more than the search.
_CHUNK_BYTES = 1 << 18
# Larger than any real table (Chromium with debug symbols: 0.6 GB).
_MAX_SECTION_BYTES = 1 << 30
# A name stands in a string table once, plus as the tail of a few longer ones.
_MAX_HITS = 256


class ElfError(ValueError):
    """The file is no 64-bit little-endian ELF file, or its tables make no sense."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function defined in the file: virtual address and size in bytes (0 = not said)."""

    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section lies in the file; `link` is the index of the section it refers to."""

    name: bytes
    kind: int
    address: int
    offset: int
    size: int
    link: int = 0

    def part(self, begin: int) -> Section:
        """Return the section without its first `begin` bytes."""
        rest = max(self.size - begin, 0)
        return replace(self, address=self.address + begin, offset=self.offset + begin, size=rest)


@dataclass(frozen=True, slots=True)
class _Segment:
    address: int
    offset: int
    size: int


class Elf(AbstractContextManager["Elf"]):
    """An open ELF file.

    Raises ElfError when the content is none, OSError when the file cannot be read.
    """

    def __init__(self, path: str) -> None:
        # O_NONBLOCK: opening a pipe must not wait for its other end.
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._read_tables()
        except struct.error as error:
            os.close(self._file)
            raise ElfError(f"{path}: a table lies outside of the file") from error
        except (ElfError, OSError):
            os.close(self._file)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def _read(self, offset: int, size: int) -> bytes:
        # An offset beyond 2^63 would be an OverflowError, a bug, instead of bad input.
        return os.pread(self._file, size, offset) if offset < 1 << 62 else b""

    def _read_tables(self) -> None:
        regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        head = self._read(0, _HEADER.size) if regular else b""
        if not head.startswith(_MAGIC):
            raise ElfError("no 64-bit little-endian ELF file")
        (_, _, self.machine, _, _, phoff, shoff, _, _, phsize, phnum, shsize, shnum, names) = (
            _HEADER.unpack(head)
        )
        self._segments = tuple(
            _Segment(h[3], h[2], h[5])
            for h in self._read_table(_PROGRAM_HEADER, phoff, phsize, phnum)
            if h[0] == _PT_LOAD
        )
        headers = self._read_table(_SECTION_HEADER, shoff, shsize, shnum if shoff else 0)
        strings = self._read(headers[names][4], 1 << 16) if names < len(headers) else b""
        self.sections = tuple(
            Section(strings[h[0] :].split(b"\0", 1)[0], h[1], h[3], h[4], h[5], h[6])
            for h in headers
        )

    def _read_table(
        self, record: struct.Struct, offset: int, step: int, count: int
    ) -> list[tuple[int, ...]]:
        if count and step != record.size:
            raise ElfError(f"a table has entries of {step} bytes; known: {record.size}")
        data = self._read(offset, step * count)
        return [record.unpack_from(data, index * step) for index in range(count)]

    def file_offset(self, address: int) -> int | None:
        """Return where the byte at virtual `address` lies in the file; None if it does not."""
        for segment in self._segments:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        return None

    def code(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes at virtual `address`; empty when it is not in the file."""
        offset = self.file_offset(address)
        return b"" if offset is None else self._read(offset, min(size, _CHUNK_BYTES))

    def function_code(self, symbol: Symbol) -> bytes:
        """Return the code of a function; nothing for machines whose code is not decoded."""
        if self.machine != EM_X86_64:
            return b""
        return self.code(symbol.address, min(symbol.size or _CODE_BYTES, _CODE_BYTES))

    def section(self, *names: bytes) -> Section | None:
        """Return the first section that has one of `names` and content in the file."""
        found = (s for s in self.sections if s.name in names and s.kind != _SHT_NOBITS)
        return next(found, None)

    def bytes_at(self, section: Section, at: int, size: int) -> bytes:
        """Return up to `size` bytes that begin `at` bytes into the section."""
        return self._read(section.offset + at, max(min(size, section.size - at, _CHUNK_BYTES), 0))

    def has_section(self, name: bytes) -> bool:
        """Say whether the file has a section called `name`."""
        return any(section.name == name for section in self.sections)

    def first_of(self, texts: Sequence[bytes], section: bytes) -> bytes | None:
        """Return the first of `texts` that stands anywhere in the section called `section`."""
        for part in self.sections:
            if part.name == section and part.kind != _SHT_NOBITS:
                hits = self.search(texts, part)
                return next((text for text in texts if hits[text]), None)
        return None

    def functions(self, names: Iterable[str]) -> Mapping[str, Symbol]:
        """Return those of `names` that the file defines as functions.

        What the file exports (.dynsym) counts; when it exports none, its other symbols (.symtab).
        """
        wanted = {name.encode() + b"\0": name for name in names}
        for kind in (_SHT_DYNSYM, _SHT_SYMTAB):
            for table in self.sections:
                if table.kind == kind and table.link < len(self.sections):
                    found = dict(self._defined(table, wanted))
                    if found:
                        return found
        return {}

    def _defined(self, table: Section, wanted: Mapping[bytes, str]) -> Iterator[tuple[str, Symbol]]:
        strings = self.sections[table.link]
        # A linker may store "x" as the tail of "prefix_x": the byte before it may be anything.
        keys = {
            struct.pack("<I", position): wanted[text]
            for text, positions in self.search(list(wanted), strings).items()
            for position in positions
        }
        for key, positions in self.search(list(keys), table).items():
            for position in positions:
                symbol = self._symbol(table, position)
                if symbol is not None:
                    yield keys[key], symbol

    def _symbol(self, table: Section, position: int) -> Symbol | None:
        data = self._read(table.offset + position, _SYMBOL.size)
        if position % _SYMBOL.size or len(data) < _SYMBOL.size:
            return None
        _, info, _, section, address, size = _SYMBOL.unpack(data)
        return Symbol(address, size) if info & 0xF == _STT_FUNC and section and address else None

    def search(self, needles: Sequence[bytes], part: Section) -> dict[bytes, list[int]]:
        """Return where each needle stands in `part`, relative to its beginning."""
        hits: dict[bytes, list[int]] = {needle: [] for needle in needles}
        if not needles:
            return hits
        overlap = max(map(len, needles)) - 1
        buffer = bytearray(_CHUNK_BYTES + overlap)
        size = min(part.size, _MAX_SECTION_BYTES) if part.offset < 1 << 62 else 0
        for start in range(0, size, _CHUNK_BYTES):
            got = os.preadv(self._file, [buffer], part.offset + start)
            if not got:
                break
            for needle, positions in hits.items():
                end = min(got, size - start, _CHUNK_BYTES + len(needle) - 1)
                _collect(buffer, needle, end, start, positions)
        return hits


def _collect(chunk: bytearray, needle: bytes, end: int, start: int, positions: list[int]) -> None:
    """Append the places of `needle` in chunk[:end]; the chunk begins at `start`."""
    at = chunk.find(needle, 0, end)
    while at >= 0 and len(positions) < _MAX_HITS:
        positions.append(start + at)
        at = chunk.find(needle, at + 1, end)
