"""What was said in a WebSocket before the current call, bounded: later calls rely on it.

Must not know a wire format.
"""

from __future__ import annotations

from agentsight_aggregator.providers.payload import encode_json
from agentsight_aggregator.streams.sockets import SocketState

_MAX_ITEMS = 1000
_MAX_ITEM_BYTES = 1024 * 1024


def add_item(state: SocketState, item: dict[str, object]) -> None:
    """Append an item to the conversation; the oldest ones go when there are too many."""
    data = encode_json(item).encode()
    state.items.append(data)
    state.item_bytes += len(data)
    while len(state.items) > _MAX_ITEMS or state.item_bytes > _MAX_ITEM_BYTES:
        state.item_bytes -= len(state.items.pop(0))
        state.dropped_items += 1
