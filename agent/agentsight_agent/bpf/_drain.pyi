from collections.abc import Callable
from typing import Any

# Structure name -> {field: offset, "": size}, as compiled into this extension.
LAYOUT: dict[str, dict[str, int]]

# A mapped BPF ring buffer. `item_types` are called with positional arguments, in the order of their
# fields: TlsRun, TlsDuplex, ConnectionOpened, ConnectionClosed, ProcessRecord,
# ProcessNetworked, Segment.
class Ring:
    def __init__(
        self,
        map_fd: int,
        ring_bytes: int,
        cpu_count: int,
        item_types: tuple[Callable[..., Any], ...],
    ) -> None: ...
    # Items, records, lost records, and if there is more right now.
    def drain(
        self, wall_offset_ns: int, budget_bytes: int, /
    ) -> tuple[list[Any], int, int, bool]: ...
    # False also while a record is being written.
    def is_empty(self) -> bool: ...
    # Unmap; draining afterwards raises ValueError.
    def close(self) -> None: ...
