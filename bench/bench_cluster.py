"""Events a second through the whole cluster: publish, EVENTS, fold, FINDINGS, export.

A real cluster (three servers, etcd, processes, as in tests/cluster) is given a backlog of frames by
real spools and publishers; aggregators are started and the time is taken until every finding is
exported to JSON lines. Servers and aggregators share the machine, which would be the bottleneck of
several aggregators: so each of them may use a share of one core only (a cgroup with a quota), as if
it had a small machine of its own. What is printed are ratios to one aggregator with R3, and events
for each second of CPU time that aggregators used.

Needs root. Run: sudo .venv/bin/python bench/bench_cluster.py [--units 1200] [--share 0.2]
"""

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from agentsight_aggregator.worker.checkpoints import CheckpointStore
from agentsight_core.bus import subjects
from agentsight_core.bus.export_positions import exported_up_to
from agentsight_core.testing.cluster.cluster import Cluster, ClusterSettings, patiently
from agentsight_core.testing.cluster.network import running_network
from cpu_quota import cpu_quota

# What a unit of the generator is made of (a fork, an exec, an exit, and five events of a call).
EVENTS_PER_UNIT = 8
PARTITIONS = 6


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def last_sequence(cluster: Cluster, stream: str) -> int:
    async with cluster.bus("bench") as bus:
        return int((await bus.stream_state(stream)).state.last_seq)


async def fill(cluster: Cluster, units: int) -> float:
    """Let the generators deliver `units` and end; return the seconds that took."""
    began = time.perf_counter()
    for node in cluster.nodes:
        await node.start()

    async def enough() -> bool:
        return await last_sequence(cluster, subjects.EVENTS) >= units

    await patiently(enough, 300)
    seconds = time.perf_counter() - began
    for node in cluster.nodes:
        assert await node.stop() == 0
    return seconds


async def ends(cluster: Cluster) -> dict[int, int]:
    """Return the sequence of the last event of each partition."""
    found = {}
    async with cluster.bus("bench") as bus:
        for number in range(PARTITIONS):
            last = await bus.last(subjects.EVENTS, f"events.{number}.>")
            found[number] = last.sequence if last else 0
    return found


async def exported(cluster: Cluster, wanted: dict[int, int]) -> bool:
    """Whether the checkpoints cover `wanted`, and the exporters have had every finding."""
    async with cluster.bus("bench") as bus:
        for number, end in wanted.items():
            if await CheckpointStore(bus, number).position() < end:
                return False
            last = await bus.last(subjects.FINDINGS, subjects.findings_filter(number))
            if last and await exported_up_to(bus, "jsonl", number) < last.sequence:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Setup:
    """One row of the result."""

    replicas: int
    aggregators: int
    secured: bool = False

    def __str__(self) -> str:
        kind = "sealed, mutual TLS" if self.secured else "readable"
        return f"R{self.replicas}, {self.aggregators} aggregators, {kind}"


SETUPS = (Setup(3, 1), Setup(3, 2), Setup(3, 3), Setup(1, 1), Setup(3, 1, secured=True))


async def measure(folder: Path, setup: Setup, units: int, share: float) -> tuple[float, ...]:
    """Return frames, seconds of publishing and of folding, CPU seconds of the aggregators."""
    settings = ClusterSettings(
        aggregators=setup.aggregators,
        replicas=setup.replicas,
        secured=setup.secured,
        partitions=PARTITIONS,
        sessions_per_node=12,
        rate=600,
        checkpoint_ms=500,
        jsonl=True,
    )
    # The quotas last: they can be removed when their processes are gone.
    with contextlib.ExitStack() as stack:
        return await _measure(folder, settings, units, share, stack)


async def _measure(
    folder: Path,
    settings: ClusterSettings,
    units: int,
    share: float,
    stack: contextlib.ExitStack,
) -> tuple[float, ...]:
    async with running_network() as network:
        cluster = Cluster(folder, settings, network)
        try:
            await cluster.build()
            await asyncio.gather(*(member.start() for member in [*cluster.nats, *cluster.etcd]))
            await cluster.healthy()
            # The leader makes the streams; then the load comes without anybody who folds it.
            await cluster.aggregators[0].start()
            await cluster.ready(cluster.aggregators[0])
            await patiently(lambda: _exists(cluster), 60)
            await cluster.aggregators[0].stop()
            publishing = await fill(cluster, units)
            frames = await last_sequence(cluster, subjects.EVENTS)
            wanted = await ends(cluster)
            for member in cluster.aggregators:
                await member.start()
                (stack.enter_context(cpu_quota(share))).write_text(f"{member.pid}")
            await cluster.ready(*cluster.aggregators)
            began = time.perf_counter()
            used = sum(cpu_seconds(member.pid) for member in cluster.aggregators)
            await patiently(lambda: exported(cluster, wanted), 600)
            folding = time.perf_counter() - began
            used = sum(cpu_seconds(member.pid) for member in cluster.aggregators) - used
            return frames, publishing, folding, used
        finally:
            await cluster.kill_all()


async def _exists(cluster: Cluster) -> bool:
    return await last_sequence(cluster, subjects.EVENTS) >= 0


async def main_async(units: int, share: float) -> None:
    print(f"each aggregator: {share:.0%} of a core; {units} units of {EVENTS_PER_UNIT} events")
    reference: dict[str, float] = {}
    for setup in SETUPS:
        with tempfile.TemporaryDirectory() as folder:
            frames, *times = await measure(Path(folder) / "c", setup, units, share)
        publishing, folding, used = (frames * EVENTS_PER_UNIT / seconds for seconds in times)
        rates = {"publish": publishing, "fold and export": folding, "a CPU second": used}
        reference = reference or rates
        columns = "; ".join(
            f"{name} {rate:6.0f} events/s = {rate / reference[name]:4.2f}"
            for name, rate in rates.items()
        )
        print(f"{setup!s:40} {columns}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1200)
    parser.add_argument("--share", type=float, default=0.2, help="of a core, for each aggregator")
    wanted = parser.parse_args()
    asyncio.run(main_async(wanted.units, wanted.share))


if __name__ == "__main__":
    main()
