"""Bounds of one connection, and the account of its bytes.

Must not read bytes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Bounds of one connection."""

    max_head_bytes: int = 256 * 1024
    # Per message, content coding undone; the rest is framed and counted, not kept.
    max_body_bytes: int = 16 * 1024 * 1024
    max_open_exchanges: int = 256
    # How far to look for a first head in a connection that was joined in its middle.
    max_search_bytes: int = 256 * 1024
    # A response whose request was not seen yet waits for the next feed, up to this size.
    max_early_response_bytes: int = 4 * 1024 * 1024


# Content of an exchange whose bodies nobody wants.
UNWANTED_BODY = "unwanted_body"


class Accounts:
    """Where all bytes of a connection went: fed = parsed + skipped + still held."""

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_parsed = 0
        self.skipped: dict[str, int] = {}

    def skip(self, reason: str, count: int) -> None:
        """Count `count` bytes of which nothing comes out."""
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count
