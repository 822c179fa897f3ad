"""One exporter on the partitions that this aggregator owns: as these come and go, so does it.

Must not open exporters, nor know the configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

from agentsight_core.bus.connection import Bus
from agentsight_core.bus.findings import Claimant, PartitionExport
from agentsight_core.bus.sinks import Sink

from agentsight_aggregator.coordination.coordinator import Assignment, Coordinator

# For the batch under way: longer than most requests to a sink.
_CLOSE_S = 15.0


class OwnedExports:
    """Runs one `PartitionExport` for each assignment, as tasks of `group`."""

    def __init__(
        self, sink: Sink, bus: Bus, coordinator: Coordinator, group: asyncio.TaskGroup
    ) -> None:
        self.sink = sink
        self._bus = bus
        self._coordinator = coordinator
        self._group = group
        self._exports: dict[Assignment, PartitionExport] = {}
        self._tasks: dict[Assignment, asyncio.Task[None]] = {}
        # Partition to what ends its former export.
        self._ending: dict[int, asyncio.Task[None]] = {}

    @property
    def partitions(self) -> int:
        """How many partitions it exports."""
        return len(self._exports)

    @property
    def behind(self) -> int:
        """How many findings of these partitions the sink does not have."""
        return sum(export.behind for export in self._exports.values())

    def follow(self, mine: Collection[Assignment]) -> None:
        """Export these and no others."""
        for gone in self._exports.keys() - mine:
            ending = self._end(self._exports.pop(gone), self._tasks.pop(gone), _CLOSE_S)
            self._ending[gone.partition] = self._group.create_task(ending)
        for new in mine - self._exports.keys():
            coordinator = self._coordinator
            owns = partial(coordinator.owns, new)
            claimant = Claimant(coordinator.member_id, owns, coordinator.is_member)
            export = PartitionExport(self.sink, self._bus, new.partition, claimant)
            self._exports[new] = export
            self._tasks[new] = self._group.create_task(
                self._run(export, self._ending.pop(new.partition, None)),
                name=f"{self.sink.name}-{new.partition}",
            )

    def wrote(self, partition: int, sequence: int, count: int) -> None:
        """Say that findings are there: `PartitionExport.wrote`."""
        for assignment, export in self._exports.items():
            if assignment.partition == partition:
                export.wrote(sequence, count)

    async def settle(self) -> None:
        """Return when what is in FINDINGS is exported; what is given up meanwhile is not ours."""
        settling = [
            asyncio.create_task(_settle(export, self._tasks[assignment]))
            for assignment, export in self._exports.items()
        ]
        try:
            await asyncio.gather(*settling)
        finally:
            for task in settling:
                task.cancel()

    async def close(self, grace_s: float = _CLOSE_S) -> None:
        """Stop all; a batch that its sink has not answered in `grace_s` comes again."""
        async with asyncio.TaskGroup() as group:
            for assignment, export in self._exports.items():
                group.create_task(self._end(export, self._tasks[assignment], grace_s))
            for ending in self._ending.values():
                group.create_task(_wait(ending, grace_s))
        self._exports.clear()
        self._tasks.clear()
        self._ending.clear()

    async def _run(self, export: PartitionExport, former: asyncio.Task[None] | None) -> None:
        if former is not None:
            await asyncio.wait([former])
        await export.run()

    async def _end(
        self, export: PartitionExport, running: asyncio.Task[None], grace_s: float
    ) -> None:
        export.stop()
        await _wait(running, grace_s)


async def _wait(task: asyncio.Task[None], grace_s: float) -> None:
    await asyncio.wait([task], timeout=grace_s)
    task.cancel()
    await asyncio.wait([task])


async def _settle(export: PartitionExport, running: asyncio.Task[None]) -> None:
    settling = asyncio.ensure_future(export.settle())
    try:
        await asyncio.wait([settling, running], return_when=asyncio.FIRST_COMPLETED)
        if settling.done():
            settling.result()
    finally:
        settling.cancel()
