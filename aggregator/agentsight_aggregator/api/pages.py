"""Pages of a list that is a part of a stream: the token is where in the stream the next one begins.

Must not know what is listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agentsight_core.bus.connection import Bus, StoredMessage
from agentsight_core.bus.reading import read_page
from agentsight_core.errors import ConfigError

Item = TypeVar("Item")

DEFAULT_SIZE = 100
MAX_SIZE = 1000
# Below the 4 MiB that a gRPC client takes unless told otherwise.
MAX_BYTES = 3 << 20
# Messages that are looked at for one page, however few of them are asked for.
MAX_LOOKED_AT = 10_000
_READ = 250


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What of a list is asked for; raises ConfigError, saying what is allowed."""

    size: int
    token: str

    def __post_init__(self) -> None:
        if self.size > MAX_SIZE:
            raise ConfigError(f"page_size {self.size} is too large; allowed: 0 to {MAX_SIZE}")
        if self.token and not (self.token.isascii() and self.token.isdecimal()):
            raise ConfigError("page_token must be the next_page_token of an answer, or empty")


@dataclass(slots=True)
class ListPage(Generic[Item]):
    """Items and where the next page begins; an empty token is the end of the list."""

    items: list[Item] = field(default_factory=list)
    next_token: str = ""


async def list_page(
    bus: Bus,
    stream: str,
    subject_filter: str,
    wanted: PageRequest,
    pick: Callable[[StoredMessage], Item | None],
) -> ListPage[Item]:
    """Return those of the messages that `pick` makes something of.

    The page may be short, even empty, and yet not the last one: work and bytes are bounded.
    """
    found = ListPage[Item]()
    size = wanted.size or DEFAULT_SIZE
    sequence, looked_at, bytes_left = int(wanted.token or "1"), 0, MAX_BYTES
    while sequence:
        page = await read_page(bus, stream, sequence, subject_filter, _READ, MAX_BYTES)
        for message in page.messages:
            item = pick(message)
            if item is not None:
                bytes_left -= len(message.data)
                if len(found.items) == size or (bytes_left < 0 and found.items):
                    found.next_token = str(message.sequence)
                    return found
                found.items.append(item)
        looked_at += len(page.messages)
        sequence = page.next_sequence
        if looked_at >= MAX_LOOKED_AT:
            break
    found.next_token = str(sequence) if sequence else ""
    return found
