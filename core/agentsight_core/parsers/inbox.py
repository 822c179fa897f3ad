"""The unread bytes of one direction of a connection, and when they arrived.

Must not know what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentsight_core.parsers.pieces import Pieces, cut, remap, time_at


class Inbox:
    """Bytes from `position` on are unread; `release` forgets the others.

    Nothing is copied as long as every feed is read to its end.
    """

    def __init__(self) -> None:
        self.buffer: bytes | bytearray = b""
        self.position = 0
        # How far a search for the end of the current item has looked.
        self.scanned = 0
        # When the newest byte came.
        self.last_ns = 0
        # Offsets and times as the one feed that is held has given them: most are never looked at.
        self._pieces: tuple[Sequence[int], Sequence[int]] = ((), ())
        # The same if there were several: lists of our own, to which more can be added.
        self._lists: tuple[list[int], list[int]] | None = None

    @property
    def held_bytes(self) -> int:
        """How many bytes are unread."""
        return len(self.buffer) - self.position

    def append(self, data: bytes, offsets: Sequence[int], times_ns: Sequence[int]) -> None:
        """Add `data` with its pieces behind what is held.

        Raises ValueError when there are not as many offsets as times: a caller's bug.
        """
        if len(offsets) != len(times_ns):
            raise ValueError(f"{len(offsets)} piece offsets, but {len(times_ns)} times")
        if times_ns:
            self.last_ns = times_ns[-1]
        if not data:
            return
        base = len(self.buffer)
        if base == 0:
            self.buffer, self._pieces = data, (offsets, times_ns)
            return
        if isinstance(self.buffer, bytes):
            self.buffer = bytearray(self.buffer)
        self.buffer += data
        if self._lists is None:
            self._lists = list(self._pieces[0]), list(self._pieces[1])
            self._pieces = self._lists
        self._lists[0].extend(base + offset for offset in offsets)
        self._lists[1].extend(times_ns)

    def time(self) -> int:
        """Return when the byte at `position` came."""
        return time_at(*self._pieces, self.position)

    def time_before(self, position: int) -> int:
        """Return when the byte before `position` came."""
        return time_at(*self._pieces, max(position - 1, 0)) or self.last_ns

    def content(self, spans: Sequence[tuple[int, int]]) -> tuple[bytes, Pieces]:
        """Return the bytes of `spans` (start, end; ascending) as one, and their pieces."""
        start, end = spans[0][0], spans[-1][1]
        pieces = cut(*self._pieces, start, end)
        if len(spans) == 1:
            return bytes(self.buffer[start:end]), pieces
        segments: list[tuple[int, int]] = []
        total = 0
        for span_start, span_end in spans:
            segments.append((span_start - start, total))
            total += span_end - span_start
        data = b"".join([self.buffer[span_start:span_end] for span_start, span_end in spans])
        return data, remap(*pieces, segments, total)

    def release(self) -> None:
        """Forget the bytes before `position`."""
        if self.position == 0:
            return
        end = len(self.buffer)
        self._lists = None
        if self.position == end:
            self.buffer, self._pieces = b"", ((), ())
        else:
            self._pieces = cut(*self._pieces, self.position, end)
            self.buffer = bytearray(memoryview(self.buffer)[self.position :])
        self.scanned = max(self.scanned - self.position, 0)
        self.position = 0
