"""A trace as a back end: each drain reads on. Must not know formats, files or clocks."""

from __future__ import annotations

from collections.abc import Iterator

from agentsight_agent.backends.traces.reader import TraceReader
from agentsight_agent.bpf.records import Drained


class TraceBackend:
    """Gives what `reader` makes of `chunks`, one of them a drain; `more` until they end."""

    def __init__(self, reader: TraceReader, chunks: Iterator[bytes]) -> None:
        self._reader = reader
        self._chunks = chunks
        self._ended = False

    def drain(self, wall_offset_ns: int) -> Drained:
        """Return the items of the next chunk; a trace has its own clock (`reader`)."""
        del wall_offset_ns
        if self._ended:
            return Drained([], records=0, lost_records=0, more=False)
        lost_before = sum(self._reader.account.lost.values())
        chunk = next(self._chunks, None)
        self._ended = chunk is None
        items = self._reader.close() if chunk is None else self._reader.feed(chunk)
        lost = sum(self._reader.account.lost.values()) - lost_before
        return Drained(items, records=len(items), lost_records=lost, more=not self._ended)
