"""An exporter plugin's faults become Retryable or Permanent, and too many of them its end."""

import asyncio
from collections.abc import Sequence

import pytest
from agentsight_aggregator.plugins.guarded_analyzer import Limits
from agentsight_aggregator.plugins.guarded_exporter import GuardedExporter
from agentsight_core.errors import Permanent, Retryable
from agentsight_core.pb.findings_pb2 import Edge, Finding

BATCH = [Finding(id=b"\1" * 16, edge=Edge(method="m"))]


class Scripted:
    """Does what its list says, one entry a call; "" is success."""

    def __init__(self, *script: Exception | str) -> None:
        self.script = list(script)
        self.taken: list[bytes] = []

    async def export(self, batch: Sequence[Finding]) -> None:
        step = self.script.pop(0) if self.script else ""
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            await asyncio.Event().wait()
        self.taken += [finding.id for finding in batch]
        for finding in batch:
            finding.Clear()


class Guarded:
    def __init__(self, *script: Exception | str) -> None:
        self.plugin = Scripted(*script)
        self.ended = 0
        limits = Limits(seconds=0.01, failures=2)
        self.exporter = GuardedExporter("one", self.plugin, limits, self.end)

    def end(self) -> None:
        self.ended += 1


async def test_success_passes_copies() -> None:
    guarded = Guarded("")
    await guarded.exporter.export(BATCH)
    assert guarded.plugin.taken == [b"\1" * 16]
    assert BATCH[0].id, "the plugin has changed its copy only"


@pytest.mark.parametrize("said", [Retryable("later"), Permanent("never")])
async def test_what_it_says_properly_passes_and_is_no_fault(said: Exception) -> None:
    guarded = Guarded(said, said, said)
    for _ in range(3):
        with pytest.raises(type(said)):
            await guarded.exporter.export(BATCH)
    assert guarded.exporter.is_on


async def test_a_hang_is_tried_again() -> None:
    guarded = Guarded("hang")
    with pytest.raises(Retryable, match="hangs"):
        await guarded.exporter.export(BATCH)
    await guarded.exporter.export(BATCH)
    assert guarded.exporter.failures == 0


async def test_what_it_raises_is_for_good_until_it_is_enough() -> None:
    guarded = Guarded(KeyError("x"), "", KeyError("x"), KeyError("y"))
    with pytest.raises(Permanent, match="KeyError"):
        await guarded.exporter.export(BATCH)
    await guarded.exporter.export(BATCH)
    with pytest.raises(Permanent):
        await guarded.exporter.export(BATCH)
    # Nothing that it got becomes a dead letter any more: it waits on the bus.
    for _ in range(2):
        with pytest.raises(Retryable, match="switched off"):
            await guarded.exporter.export(BATCH)
    assert (guarded.ended, guarded.exporter.is_on) == (1, False)
