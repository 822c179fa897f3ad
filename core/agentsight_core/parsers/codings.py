"""Content codings (RFC 9110 section 8.4) undone as bytes arrive: gzip, deflate, br and zstd.

Output is bounded. Must not hold it back: what can be decoded from a piece comes with that piece.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import brotli
import zstandard

from agentsight_core.parsers.pieces import Pieces

# Output of one decompressor step: bounds what a bomb can allocate between two looks at the limit.
_STEP_BYTES = 256 * 1024
# RFC 8878 section 3.1.1.1.2 asks decoders to support 8 MiB.
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
_MAX_LAYERS = 4


class CodingError(Exception):
    """The bytes are not of the coding they are said to be of."""


class _Layer(Protocol):
    def steps(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` adds to the output, in bounded steps; raise CodingError."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the coded stream has reached an end of its own."""
        ...


class _Zlib:
    """gzip (RFC 1952, several members) and deflate (RFC 1950; RFC 1951 as some servers do)."""

    def __init__(self, wbits: int | None) -> None:
        self._wbits = wbits
        self._first = b""
        self._inflate = zlib.decompressobj(wbits) if wbits is not None else None

    @property
    def finished(self) -> bool:
        return self._inflate is not None and self._inflate.eof

    def steps(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            self._first += data
            if len(self._first) < 2:
                return
            data, self._first = self._first, b""
            self._wbits = 15 if _is_zlib_header(data) else -15
            self._inflate = zlib.decompressobj(self._wbits)
        while data:
            if self._inflate.eof:
                # gzip members follow each other; anything else behind the end is padding.
                if self._wbits != 31 or not data.startswith(b"\x1f"):
                    return
                self._inflate = zlib.decompressobj(31)
            try:
                out = self._inflate.decompress(data, _STEP_BYTES)
            except zlib.error as error:
                raise CodingError("not a valid deflate stream") from error
            data = self._inflate.unused_data or self._inflate.unconsumed_tail
            if out:
                yield out
            if not out and data and not self._inflate.eof:
                raise CodingError("not a valid deflate stream")


def _is_zlib_header(data: bytes) -> bool:
    """RFC 1950 section 2.2: method 8, and both bytes as one number are a multiple of 31."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0


class _Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    @property
    def finished(self) -> bool:
        return bool(self._decompressor.is_finished())

    def steps(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self.finished:
                return
            try:
                out = self._decompressor.process(data, output_buffer_limit=_STEP_BYTES)
            except brotli.error as error:
                raise CodingError("not a valid brotli stream") from error
            if out:
                yield out
            if self._decompressor.can_accept_more_data():
                return
            data = b""


class _Zstd:
    """zstd (RFC 8878), several frames."""

    # A block of 128 KiB needs 4 bytes, so this much input makes at most a few MiB of output.
    _SLICE_BYTES = 128

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
        self._frame = self._context.decompressobj()

    @property
    def finished(self) -> bool:
        return bool(self._frame.eof)

    def steps(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), self._SLICE_BYTES):
            rest = data[start : start + self._SLICE_BYTES]
            while rest:
                if self._frame.eof:
                    self._frame = self._context.decompressobj()
                try:
                    out = self._frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise CodingError("not a valid zstd stream") from error
                rest = self._frame.unused_data if self._frame.eof else b""
                if out:
                    yield out


def _layer(name: str) -> _Layer | None:
    match name:
        case "gzip" | "x-gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(None)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
    return None


class ContentDecoder:
    """Undoes the codings of one body, and stops keeping its content at `limit_bytes`.

    `codings` are in the order in which they were applied. Identity is a decoder without layers.
    """

    def __init__(self, codings: Sequence[str], limit_bytes: int) -> None:
        names = [name for name in codings if name not in ("identity", "")]
        layers = [_layer(name) for name in names]
        self._layers = [layer for layer in reversed(layers) if layer is not None]
        self._limit_bytes = limit_bytes
        # What each layer may still give; the last one is the body itself.
        self._room = [limit_bytes] * max(len(self._layers), 1)
        self.truncated = False
        # Why nothing more can be decoded; "" while all is well.
        self.error = ""
        if len(names) > _MAX_LAYERS:
            self.error = f"{len(names)} stacked content codings; at most {_MAX_LAYERS} are undone"
        elif len(self._layers) < len(names):
            self.error = "unknown content coding"

    @property
    def is_identity(self) -> bool:
        """Whether bytes pass unchanged."""
        return not self._layers and not self.error

    @property
    def stopped(self) -> bool:
        """Whether further bytes would give nothing: the cap is reached or the coding is broken."""
        return self.truncated or bool(self.error)

    @property
    def ended_early(self) -> bool:
        """Whether the coded stream lacks its end."""
        return not self.stopped and not all(layer.finished for layer in self._layers)

    def decode(
        self, data: bytes, offsets: Sequence[int], times_ns: Sequence[int]
    ) -> tuple[bytes, Pieces]:
        """Return the content that `data` adds, and its pieces."""
        if self.is_identity:
            return self._pass(data, offsets, times_ns)
        out: list[bytes] = []
        size = 0
        starts: list[int] = []
        times: list[int] = []
        for index, start in enumerate(offsets):
            end = offsets[index + 1] if index + 1 < len(offsets) else len(data)
            before = size
            for step in self._guarded(data[start:end]):
                out.append(step)
                size += len(step)
            if size > before:
                starts.append(before)
                times.append(times_ns[index])
        return b"".join(out), (tuple(starts), tuple(times))

    def _pass(
        self, data: bytes, offsets: Sequence[int], times_ns: Sequence[int]
    ) -> tuple[bytes, Pieces]:
        room = self._room[0]
        if len(data) <= room:
            self._room[0] -= len(data)
            return data, (tuple(offsets), tuple(times_ns))
        self._room[0] = 0
        self.truncated = True
        kept = sum(1 for offset in offsets if offset < room)
        return data[:room], (tuple(offsets[:kept]), tuple(times_ns[:kept]))

    def _guarded(self, data: bytes) -> Iterator[bytes]:
        if self.stopped:
            return
        try:
            yield from self._through(0, data)
        except CodingError as error:
            self.error = str(error)

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        """Run `data` through the layers from `depth` on."""
        for step in self._layers[depth].steps(data):
            kept = step[: self._room[depth]]
            self._room[depth] -= len(kept)
            if depth + 1 < len(self._layers):
                yield from self._through(depth + 1, kept)
            elif kept:
                yield kept
            if len(kept) < len(step):
                self.truncated = True
            if self.truncated:
                return
