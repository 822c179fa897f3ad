"""Replacing credentials in text that comes in parts, without losing when which byte came.

Must not know HTTP. What may be the beginning of a credential is held until the next part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from agentsight_core.parsers.pieces import Pieces, cut, remap

from agentsight_agent.redact.rules import Scanner, Span

# What keys are made of. A credential that is cut ends in the middle of a run of these.
_RUN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+=~%:@"
# Kept in front of such a run: a name and its quotes tell that the run is a credential.
_CONTEXT_BYTES = 128
# Always kept, up to the last line end: values with spaces, within quotes.
_TAIL_BYTES = 512
# A longer run is base64 data, not the beginning of a key.
_MAX_RUN_BYTES = 8 * 1024
# A credential that is still not over after so many bytes is dropped as it comes.
_MAX_HELD_BYTES = 16 * 1024
_SWALLOWED = _RUN + b" \r\n\t\\,"

Replace = Callable[[str, bytes], bytes]


class Replacement:
    """Makes `<redacted:rule:hash>`: equal secrets look equal, and nobody can turn the hash back."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key).digest()
        # Replaced credentials by rule.
        self.counts: dict[str, int] = {}

    def __call__(self, rule: str, secret: bytes) -> bytes:
        """Return what stands for `secret`, and count it."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        digest = hashlib.blake2b(secret, key=self._key, digest_size=4).hexdigest()
        return f"<redacted:{rule}:{digest}>".encode()


class TextRedactor:
    """One stream of text: `feed` its parts, then `flush`; or `whole`, when there is but one."""

    def __init__(self, scanner: Scanner, replace: Replace) -> None:
        self._scanner = scanner
        self._replace = replace
        self._held = b""
        self._pieces: Pieces = ((), ())
        # The rest of a very long credential is being dropped.
        self._swallowing = False

    @property
    def held_bytes(self) -> int:
        """How many bytes wait for the next part."""
        return len(self._held)

    def feed(
        self, data: bytes, offsets: Sequence[int], times_ns: Sequence[int]
    ) -> tuple[bytes, Pieces]:
        """Return what can be given on of all that came so far, credentials replaced."""
        if self._swallowing:
            rest = data.lstrip(_SWALLOWED)
            self._swallowing = not rest
            offsets, times_ns = cut(offsets, times_ns, len(data) - len(rest), len(data))
            data = rest
        if not data:
            return b"", ((), ())
        if self._held:
            base = len(self._held)
            offsets = (*self._pieces[0], *(base + offset for offset in offsets))
            times_ns = (*self._pieces[1], *times_ns)
            data = self._held + data
        return self._redact(data, offsets, times_ns, final=False)

    def whole(self, data: bytes) -> bytes:
        """Return a whole text, credentials replaced: `data` itself if it has none."""
        return self._redact(data, (0,), (0,), final=True)[0]

    def flush(self) -> tuple[bytes, Pieces]:
        """Return what is held: the stream has ended."""
        data, (offsets, times_ns) = self._held, self._pieces
        return self._redact(data, offsets, times_ns, final=True) if data else (b"", ((), ()))

    def _redact(
        self, data: bytes, offsets: Sequence[int], times_ns: Sequence[int], *, final: bool
    ) -> tuple[bytes, Pieces]:
        spans = self._scanner.scan(data)
        end = len(data) if final else self._release_end(data, spans)
        self._held = data[end:]
        self._pieces = cut(offsets, times_ns, end, len(data)) if self._held else ((), ())
        spans = [span for span in spans if span.start < end]
        if end == len(data) and not spans:
            return data, (tuple(offsets), tuple(times_ns))
        pieces = cut(offsets, times_ns, 0, end) if end else ((), ())
        return self._rewrite(data[:end], spans, pieces) if spans else (data[:end], pieces)

    def _release_end(self, data: bytes, spans: list[Span]) -> int:
        """Return up to where `data` cannot be part of a credential that is not over yet."""
        size = len(data)
        run_start = len(data.rstrip(_RUN))
        end = max(
            data.rfind(b"\n") + 1,
            min(run_start - _CONTEXT_BYTES, size - _TAIL_BYTES),
            size - _MAX_RUN_BYTES,
        )
        for span in reversed(spans):
            if span.end == size and size - span.start > _MAX_HELD_BYTES:
                self._swallowing = True
                return size
            if span.end == size or span.start < end < span.end:
                end = min(end, span.start)
        return end

    def _rewrite(self, data: bytes, spans: list[Span], pieces: Pieces) -> tuple[bytes, Pieces]:
        out: list[bytes] = []
        segments: list[tuple[int, int]] = []
        position = total = 0
        for span in spans:
            text = data[position : span.start]
            replacement = self._replace(span.rule, data[span.start : span.end])
            segments += [(position, total), (span.start, total + len(text))]
            out += [text, replacement]
            total += len(text) + len(replacement)
            position = span.end
        segments.append((position, total))
        out.append(data[position:])
        total += len(data) - position
        return b"".join(out), remap(*pieces, segments, total)
