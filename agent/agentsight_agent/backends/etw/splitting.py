"""Cuts the XML of tracerpt, or of several `Get-WinEvent` events, into its Event elements.

Each element is parsed by itself, so that a broken one costs nothing but itself. Pure and bounded.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

# <Event> and <Event xmlns=…>; not <Events> and <EventData>.
_TAG = re.compile(r"<Event[\s>]|</Event>")
_END = "</Event>"
_MAX_CHARS = 1 << 20
# tracerpt writes UTF-8; `>` of PowerShell makes UTF-16 of it, with a byte order mark.
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class EventSplitter:
    """Bytes in, the text of each Event element out; None for one that has no begin or no end."""

    def __init__(self) -> None:
        # The first bytes, until they tell the encoding.
        self._head: bytes | None = b""
        self._decoder: codecs.IncrementalDecoder = _decoder("utf-8")
        # Text in which a tag may begin that is not there yet.
        self._tail = ""
        # What there is of an element that has begun.
        self._element: str | None = None

    def feed(self, data: bytes) -> Iterator[str | None]:
        """Yield what the next bytes complete."""
        yield from self._take(self._decode(data, final=False))

    def close(self) -> Iterator[str | None]:
        """Yield the rest: None if an element has begun."""
        yield from self._take(self._decode(b"", final=True))
        if self._element is not None:
            self._element = None
            yield None

    def _decode(self, data: bytes, *, final: bool) -> str:
        if self._head is not None:
            self._head += data
            if len(self._head) < 2 and not final:
                return ""
            data, self._head = self._head, None
            for mark, name in _MARKS:
                if data.startswith(mark):
                    self._decoder = _decoder(name)
                    data = data[len(mark) :]
        return self._decoder.decode(data, final)

    def _take(self, text: str) -> Iterator[str | None]:
        text, self._tail = self._tail + text, ""
        at = 0
        for tag in _TAG.finditer(text):
            self._keep(text[at : tag.start()])
            at = tag.end()
            element, self._element = self._element, None
            if tag[0] != _END:
                if element is not None:
                    yield None
                self._element = tag[0]
                continue
            whole = element is not None and len(element) <= _MAX_CHARS
            yield f"{element}{_END}" if whole else None
        kept = max(at, len(text) - len(_END) + 1)
        self._keep(text[at:kept])
        self._tail = text[kept:]

    def _keep(self, text: str) -> None:
        """Add to the element that has begun; of one that is too long no more than that it is."""
        if self._element is not None and len(self._element) <= _MAX_CHARS:
            self._element += text


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)("replace")
