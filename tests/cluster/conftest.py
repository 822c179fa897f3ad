import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from agentsight_aggregator.fold import build_fold
from agentsight_aggregator.worker.checkpoints import CheckpointStore
from agentsight_aggregator.worker.folding import Folding
from agentsight_core.bus import subjects
from agentsight_core.errors import Retryable
from agentsight_core.sealing import Opener
from agentsight_core.testing.cluster.cluster import Cluster, ClusterSettings, running_cluster
from agentsight_core.testing.cluster.evidence import Evidence, Stored, gather
from agentsight_core.testing.cluster.recovery import takeovers
from agentsight_core.testing.cluster.verdict import Replayed, Saved, Verdict, judge

T = TypeVar("T")
RESULTS = Path(os.environ.get("CLUSTER_RESULTS", "/dev/null"))


def replay(opener: Opener | None, partition: int, messages: Sequence[Stored]) -> Replayed:
    """Fold `messages` in one go, as a worker that nothing ever happens to."""
    folding = Folding(partition, build_fold(), opener)
    findings: list[tuple[str, bytes]] = []
    for message in messages:
        if message.subject.startswith("tick."):
            result = folding.tick(message.sequence, message.data)
        else:
            result = folding.frame(message.sequence, message.data, replayed=message.replayed)
        findings += [
            (f"{message.sequence}.{number}", finding.SerializeToString(deterministic=True))
            for number, finding in enumerate(result.findings, start=1)
        ]
    calls = sum(
        sample.value
        for sample in folding.fold.samples()
        if sample.name == "agentsight.exchanges" and ("kind", "llm") in sample.labels
    )
    return Replayed(findings, int(calls), folding.snapshot())


async def checkpoints(bus, partitions: int) -> dict[int, Saved]:
    found = {}
    for partition in range(partitions):
        store = CheckpointStore(bus, partition)
        state = await store.load()
        if state is not None:
            found[partition] = Saved(await store.position(), state)
    return found


async def again(reading: Callable[[], Awaitable[T]]) -> T:
    """Read until it works: the servers may have just come back."""
    for _ in range(10):
        try:
            return await reading()
        except Retryable as error:
            print(f"reading again: {error}")
            await asyncio.sleep(1)
    return await reading()


@dataclass
class Run:
    """A cluster under a fault, its random numbers, and what came of it."""

    row: str
    fault: str
    random: random.Random
    seed: int
    cluster: Cluster | None = None
    evidence: Evidence = field(default_factory=Evidence)
    # Empty until `finish`.
    verdict: Verdict | None = None
    # When faults happened, Unix seconds.
    faults_s: list[float] = field(default_factory=list)
    # From a fault to where others have taken over: what happens later is no takeover.
    takeover_windows: list[tuple[float, float]] = field(default_factory=list)
    takeover_s: list[float] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    # Why the test failed, in a line; "": it passed.
    failed: str = ""

    def note(self, **facts: object) -> None:
        """Keep figures for the results."""
        self.notes |= facts

    def happens(self) -> None:
        """Note that a fault happens now."""
        self.faults_s.append(time.time())

    async def taken_over(self) -> None:
        """Wait until every partition goes on after the last fault."""
        await self.cluster.flows()
        self.takeover_windows.append((self.faults_s[-1], time.time()))

    async def finish(self, *, settle_s: float = 240.0) -> Verdict:
        """End the load, read everything back, judge it, and write a line of the results."""
        await self.cluster.healthy()
        await self.cluster.settle(self._folded(), settle_s)
        async with self.cluster.bus() as bus:
            self.evidence = await again(lambda: gather(bus))
            saved = await again(lambda: checkpoints(bus, self.cluster.settings.partitions))
        ledgers = [self.cluster.ledger(node) for node in self.cluster.nodes]
        credentials = self.cluster.credentials
        opener = credentials.opener() if credentials else None
        self.verdict = judge(self.evidence, ledgers, saved, partial(replay, opener), opener)
        for fault_s, until_s in self.takeover_windows:
            self.takeover_s += takeovers(self.evidence.findings, fault_s, until_s).values()
        return self.verdict

    def _folded(self) -> Callable[[], Awaitable[bool]]:
        """Return what tells whether every checkpoint is behind all that EVENTS has by then."""
        last = 0

        async def folded() -> bool:
            nonlocal last
            async with self.cluster.bus() as bus:
                last = last or (await bus.stream_state(subjects.EVENTS)).state.last_seq
                numbers = range(self.cluster.settings.partitions)
                # Each partition has a tick every second, and saves what it has folded.
                return all([await CheckpointStore(bus, n).position() >= last for n in numbers])

        return folded

    def report(self) -> None:
        verdict = self.verdict or Verdict(replay=["the run was not finished"])
        line = {
            "row": self.row,
            "fault": self.fault,
            "seed": self.seed,
            "faults": len(self.faults_s),
            "units": verdict.units,
            "lost": len(verdict.lost),
            "declared": dict(verdict.declared),
            "undurable": verdict.undurable,
            "twice": len(verdict.twice),
            "disorder": len(verdict.disorder),
            "other": {name: shown[0] for name, shown in verdict.faults.items()},
            "repeated_frames": verdict.repeated_frames,
            "takeover_s": [round(seconds, 3) for seconds in self.takeover_s],
            "notes": self.notes,
            "failed": self.failed,
        }
        print(json.dumps(line))
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture
def seed(request) -> int:
    """From CLUSTER_SEED, else new; printed, so that a failing run can be repeated."""
    number = int(os.environ.get("CLUSTER_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    print(f"CLUSTER_SEED={number} {request.node.nodeid}")
    return number


StartRun = Callable[..., contextlib.AbstractAsyncContextManager[Run]]


@pytest.fixture
def run(tmp_path: Path, seed: int, request) -> StartRun:
    """Gives `run(fault, **settings)`: a context manager with a Run on a cluster that works."""

    @contextlib.asynccontextmanager
    async def start(fault: str, **settings: object) -> AsyncIterator[Run]:
        row = Path(request.node.fspath).stem.removeprefix("test_row_").split("_")[0]
        wanted = ClusterSettings(**settings)
        it = Run(row, fault, random.Random(seed), seed)
        try:
            async with running_cluster(tmp_path / "cluster", wanted) as it.cluster:
                yield it
        except BaseException as error:
            # At once: the matrix is long, and pytest explains failures at its end.
            print(f"FAILED {request.node.nodeid}: {error!r}"[:2000])
            it.failed = (repr(error).splitlines() or [""])[0].partition("\\n")[0][:200]
            raise
        finally:
            it.report()

    return start
